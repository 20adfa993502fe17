"""Append-only tables in a directory: what several processes may add to, and none may lose."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from rlvr.core.run_dir import write_bytes


def store_root() -> Path:
    """$RLVR_STORE, by default runs/.store."""
    return Path(os.environ.get("RLVR_STORE", "runs/.store"))


def short_hash(value: Any) -> str:
    """16 hex digits of any JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


class Shards:
    """An append-only table in a directory. Rows are told apart by the columns `key`.

    A row that two processes stored counts once. A shard that cannot be read, as a crashed file system may
    leave one, is set aside with a warning, and its rows count as missing.
    """

    def __init__(self, directory: Path, schema: pa.Schema, key: Sequence[str]):
        self.directory = directory
        self.schema = schema
        self.key = list(key)
        self._prompts: dict[Path, set[str]] = {}  # what is in each shard

    def read(self, columns: Iterable[str] = (), prompts: Collection[str] | None = None) -> pa.Table:
        """Every row, of these prompts where they are given, once and sorted by key.

        columns: those wanted beside the key's.
        """
        wanted = [*self.key, *columns]
        only = None if prompts is None else [("prompt", "in", prompts)]
        empty = pa.schema([self.schema.field(name) for name in wanted]).empty_table()
        shards = [
            s for s in sorted(self.directory.glob("*.parquet")) if prompts is None or self._holds(s, prompts)
        ]
        tables = [self._read(shard, wanted, only) for shard in shards]
        table = pa.concat_tables([empty, *(t for t in tables if t is not None)])
        table = table.take(pa.compute.sort_indices(table, [(name, "ascending") for name in self.key]))
        return table.filter(self._first_of_equals(table))

    def append(self, rows: Sequence[dict[str, Any]]) -> None:
        """Stores the rows as one shard: all of them or, if the process dies, none."""
        self.directory.mkdir(parents=True, exist_ok=True)
        name = short_hash([[row[column] for column in self.key] for row in rows])
        buffer = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(list(rows), self.schema), buffer, compression="zstd")
        write_bytes(self.directory / f"{name}.parquet", buffer.getvalue().to_pybytes())

    def _holds(self, shard: Path, prompts: Collection[str]) -> bool:
        """Whether a row of the shard is of one of the prompts; shards never change, so each is read once."""
        if shard not in self._prompts:
            table = self._read(shard, ["prompt"])
            if table is None:
                return False
            self._prompts[shard] = set(table["prompt"].to_pylist())
        return not self._prompts[shard].isdisjoint(prompts)

    def _read(self, shard: Path, columns: list[str], only: Any = None) -> pa.Table | None:
        try:
            return pq.read_table(shard, columns=columns, filters=only)
        except FileNotFoundError:  # another process has set it aside
            return None
        except (pa.ArrowInvalid, OSError) as error:
            if isinstance(error, OSError) and error.errno:  # the disk's fault, not the file's
                raise
            with suppress(FileNotFoundError):
                shard.replace(shard.with_suffix(".torn"))
            warnings.warn(f"{shard} cannot be read and was renamed to *.torn: {error}", stacklevel=2)
            return None

    def _first_of_equals(self, table: pa.Table) -> pa.Array:
        """A mask over rows sorted by key."""
        rows = list(zip(*(table[name].to_pylist() for name in self.key), strict=True))
        return pa.array([i == 0 or rows[i - 1] != row for i, row in enumerate(rows)], pa.bool_())
