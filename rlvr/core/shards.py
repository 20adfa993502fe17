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
        empty = pa.schema([self.schema.field(name) for name in wanted]).empty_table()
        tables = [
            self._read(shard, wanted, only)
            for shard in sorted(self.directory.glob("*.parquet"))
            if self._is_whole(shard) and (prompts is None or not self._prompts[shard].isdisjoint(prompts))
        ]
        table = pa.concat_tables([empty, *(t for t in tables if t is not None)])
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
        name = short_hash([key for key, _ in keyed])
        table = pa.Table.from_pylist([rows[i] for _, i in keyed], self.schema)
        write_sealed(self.directory / f"{name}.parquet", table)
        return f"{name}.parquet"

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
