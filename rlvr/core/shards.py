"""Append-only tables in a directory: what several processes may add to, and none may lose."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import reduce
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute

from rlvr.core.run_dir import free_name
from rlvr.core.sealed import DamagedError, ReadError, read_sealed, write_sealed


def store_root() -> Path:
    """$RLVR_STORE, by default runs/.store."""
    return Path(os.environ.get("RLVR_STORE", "runs/.store"))


def short_hash(value: Any) -> str:
    """16 hex digits of any JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


class Shards:
    """An append-only table in a directory. Rows are told apart by the columns `key`.

    A row that two processes stored counts once. Shards are sealed (`rlvr.core.sealed`); one that does not
    hold what was written is set aside with a warning, and its rows count as missing. allowed: by column, the
    values that it may have; a shard with another is damaged too.
    """

    def __init__(
        self,
        directory: Path,
        schema: pa.Schema,
        key: Sequence[str],
        allowed: Mapping[str, Collection[str]] | None = None,
    ):
        self.directory = directory
        self.schema = schema
        self.key = list(key)
        self.allowed = allowed or {}
        self._prompts: dict[Path, set[str]] = {}  # what is in each shard
        self._whole: dict[Path, tuple[int, ...]] = {}  # shards that were found whole, as they were then

    def read(self, columns: Iterable[str] = (), prompts: Collection[str] | None = None) -> pa.Table:
        """Every row, of these prompts where they are given, once and sorted by key.

        columns: those wanted beside the key's. Raises ReadError, where the disk is at fault.
        """
        wanted = [*self.key, *columns]
        only = None if prompts is None else ("prompt", prompts)
        while True:
            shards = sorted(self.directory.glob("*.parquet"))
            tables = [
                self._read(shard, wanted, only)
                for shard in shards
                if self._is_whole(shard) and (prompts is None or not self._prompts[shard].isdisjoint(prompts))
            ]
            if all(shard.exists() for shard in shards):
                return self._merged([t for t in tables if t is not None], wanted)
            # another process has compacted, or set a damaged one aside

    def _merged(self, tables: Sequence[pa.Table], columns: Sequence[str]) -> pa.Table:
        """Every row once, sorted by key."""
        empty = pa.schema([self.schema.field(name) for name in columns]).empty_table()
        table = pa.concat_tables([empty, *tables])
        table = table.take(pa.compute.sort_indices(table, [(name, "ascending") for name in self.key]))
        return table.filter(self._first_of_equals(table))

    def files(self) -> set[str]:
        """The names of its shards."""
        return {shard.name for shard in self.directory.glob("*.parquet")}

    def append(self, rows: Sequence[dict[str, Any]]) -> str:
        """Stores the rows as one shard, sorted by key: all of them or, if the process dies, none. The shard's
        name, which the keys decide."""
        self.directory.mkdir(parents=True, exist_ok=True)
        keyed = sorted(([row[column] for column in self.key], i) for i, row in enumerate(rows))
        return self._write(pa.Table.from_pylist([rows[i] for _, i in keyed], self.schema))

    def _write(self, table: pa.Table) -> str:
        name = f"{short_hash([*map(list, self._keys(table))])}.parquet"
        write_sealed(self.directory / name, table)
        return name

    def compact(self, most_bytes: int) -> int:
        """Rewrites shards as few ones of about that size; how many fewer there are.

        A shard goes once its rows stand in another, so others may read and append meanwhile; where the
        process dies some rows are there twice, and count once.
        """
        before = len(self.files())
        batch: list[Path] = []
        size = 0
        for shard in sorted(self.directory.glob("*.parquet")):
            if (own := shard.stat().st_size) >= most_bytes // 2:
                continue
            batch, size = [*batch, shard], size + own
            if size >= most_bytes:
                self._merge(batch)
                batch, size = [], 0
        self._merge(batch)
        return before - len(self.files())

    def _merge(self, shards: Sequence[Path]) -> None:
        """Makes them one."""
        if len(shards) < 2:
            return
        read = {shard: self._read(shard, self.schema.names) for shard in shards}
        kept = {shard: table for shard, table in read.items() if table is not None}
        written = self._write(self._merged([*kept.values()], self.schema.names))
        for shard in kept:
            if shard.name != written:
                shard.unlink(missing_ok=True)

    def _is_whole(self, shard: Path) -> bool:
        """Whether the shard is there with all that was written, so that damage is found before anything is
        drawn; shards never change, so each is summed once, and again if it is another file."""
        if shard not in self._prompts:
            table = self._read(shard, ["prompt", *self.allowed])
            if table is None:
                return False
            self._prompts[shard] = set(table["prompt"].unique().to_pylist())
        return True

    def _read(
        self, shard: Path, columns: list[str], only: tuple[str, Collection[str]] | None = None
    ) -> pa.Table | None:
        """None where it is gone, or damaged."""
        try:
            stamp = _stamp(shard)
            known = self._whole.get(shard) == stamp
            table = read_sealed(shard, columns, only, check="footer" if known else "whole")
            self._check(shard, table)
            self._whole[shard] = stamp
            return table
        except FileNotFoundError:  # another process has set it aside
            return None
        except OSError as error:
            raise ReadError(f"{shard} cannot be read: {error}. It was left as it is") from error
        except DamagedError as error:
            aside = free_name(shard.with_suffix(".torn"))
            with suppress(FileNotFoundError):
                shard.replace(aside)
            warnings.warn(
                f"{shard} cannot be read and was renamed to {aside.name}, its rows count as missing: {error}",
                stacklevel=2,
            )
            return None

    def _check(self, shard: Path, table: pa.Table) -> None:
        """Raises DamagedError for a row that the table cannot have."""
        for field in table.schema:
            if field.type != (wanted := self.schema.field(field.name).type):
                raise DamagedError(f"{shard}, column {field.name}: holds {field.type}, not {wanted}")
        for name in self.allowed.keys() & {*table.column_names}:
            check_values(shard, table[name], self.allowed[name])

    def _keys(self, table: pa.Table) -> list[tuple[Any, ...]]:
        return list(zip(*(table[name].to_pylist() for name in self.key), strict=True))

    def _first_of_equals(self, table: pa.Table) -> pa.Array:
        """A mask over rows sorted by key."""
        if table.num_rows < 2:
            return pa.array([True] * table.num_rows, pa.bool_())
        columns = [table[name].combine_chunks() for name in self.key]
        equal = [pa.compute.equal(column[1:], column[:-1]) for column in columns]
        differs = pa.compute.invert(reduce(pa.compute.and_, equal))
        return pa.concat_arrays([pa.array([True]), differs])


def _stamp(file: Path) -> tuple[int, ...]:
    """What differs between a file and another in its place, or itself changed."""
    found = os.stat(file)
    return found.st_ino, found.st_mtime_ns, found.st_size


def check_values(path: Path, column: pa.ChunkedArray, allowed: Collection[str], before: int = 0) -> None:
    """Raises DamagedError for the first row of a column whose value is not one of these. before: rows of the
    file that stand before these."""
    known = pa.compute.is_in(column, pa.array([*allowed], column.type))
    if not pa.compute.all(known, min_count=0).as_py():
        row = pa.compute.index(known, False).as_py()
        raise DamagedError(
            f"{path}, row {before + row + 1}: {column[row].as_py()!r} is none of {', '.join(sorted(allowed))}"
        )
