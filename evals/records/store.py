"""The sample store: append-only, shared by runs, so that no sample is ever drawn or graded twice.

One directory per sample set; its name is the hash of everything that the samples' distribution depends
on. In it lie `key.json`, `samples/`, per grader `verdicts/<hash of its version>/`, and per checker of
reasoning `soundness/<hash of its version>/`: Parquet shards, each renamed into place whole. All ranks need
the same view of the directory.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rlvr.core.run_dir import write_bytes

SAMPLES = pa.schema(
    [
        ("prompt", pa.string()),  # hash of its token ids
        ("index", pa.int32()),
        ("problem", pa.string()),
        ("seed", pa.int64()),
        ("token_ids", pa.large_list(pa.int32())),  # large: a set may hold more than 2^31 of them
        ("tokens", pa.int32()),
        ("digest", pa.string()),  # hash of token_ids
        ("logprob", pa.float64()),  # summed over the tokens, of the distribution sampled from
        ("text", pa.large_string()),
        ("finish_reason", pa.string()),
    ]
)
VERDICTS = pa.schema(
    [
        ("prompt", pa.string()),
        ("index", pa.int32()),
        ("reference", pa.string()),  # hash of what the verifier was given
        ("digest", pa.string()),  # the sample's
        ("status", pa.string()),
        ("score", pa.float64()),
        ("extracted", pa.string()),
        ("seconds", pa.float64()),
    ]
)

SOUNDNESS = pa.schema(
    [
        *[VERDICTS.field(name) for name in ("prompt", "index", "reference", "digest")],
        ("sound", pa.bool_()),  # null: the checker could not decide
    ]
)


def store_root() -> Path:
    """$RLVR_STORE, by default runs/.store."""
    return Path(os.environ.get("RLVR_STORE", "runs/.store"))


@dataclass(frozen=True)
class SampleKey:
    """What a sample's distribution depends on, apart from its prompt. Hashes are hex."""

    weights: str
    tokenizer: str
    template: str
    temperature: float
    top_p: float
    max_new_tokens: int
    engine: str
    dtype: str
    seed: int
    config: str = ""  # hash of the model's own configuration
    stop: tuple[str, ...] = ()

    def fields(self) -> dict[str, Any]:
        """Its fields, without `stop` where there is none: such sets are named as before there was one."""
        return {name: value for name, value in asdict(self).items() if name != "stop" or value}

    def digest(self) -> str:
        """16 hex digits."""
        return short_hash(self.fields())

    def stream(self) -> str:
        """What seeds are derived from; models that differ in their configuration alone draw alike, and with
        stop strings a sample is the beginning of the one without."""
        apart = ("config", "stop")
        return short_hash({name: value for name, value in asdict(self).items() if name not in apart})


def short_hash(value: Any) -> str:
    """16 hex digits of any JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def token_hash(ids: Sequence[int]) -> str:
    """16 hex digits."""
    return hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()[:16]


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


class SampleSet:
    """The samples of one key, and what graders said of them."""

    def __init__(self, root: Path, key: SampleKey):
        self.key = key
        self.directory = root / key.digest()
        self.shards = Shards(self.directory / "samples", SAMPLES, ("prompt", "index"))

    def verdicts(self, version: str) -> Shards:
        """What the grader of this version said; a new version starts anew."""
        directory = self.directory / "verdicts" / short_hash(version)
        return Shards(directory, VERDICTS, ("prompt", "index", "reference", "digest"))

    def soundness(self, version: str) -> Shards:
        """What the checker of this version said of the reasoning."""
        directory = self.directory / "soundness" / short_hash(version)
        return Shards(directory, SOUNDNESS, ("prompt", "index", "reference", "digest"))

    def append(self, rows: Sequence[dict[str, Any]]) -> None:
        """Stores samples, all or none."""
        key = self.directory / "key.json"
        if not key.exists():
            self.directory.mkdir(parents=True, exist_ok=True)
            write_bytes(key, json.dumps(self.key.fields(), indent=1).encode())
        self.shards.append(rows)

    def read(self, columns: Iterable[str] = (), prompts: Collection[str] | None = None) -> pa.Table:
        """The samples: see `Shards.read`."""
        return self.shards.read(columns, prompts)

    def export(self, path: Path) -> int:
        """Writes all samples, sorted by key, as one Parquet file; how many there are.

        The same samples give the same bytes, however often their drawing was interrupted.
        """
        table = self.read([name for name in SAMPLES.names if name not in self.shards.key])
        pq.write_table(table.combine_chunks(), path, compression="zstd")
        return table.num_rows
