"""The sample store: append-only, shared by runs, so that no sample is ever drawn twice.

One directory per sample set; its name is the hash of everything that the samples' distribution depends
on. In it lie `key.json` and Parquet shards, each renamed into place whole. All ranks need the same view
of the directory.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rlvr.run_dir import write_bytes

SCHEMA = pa.schema(
    [
        ("problem", pa.string()),
        ("prompt", pa.string()),
        ("index", pa.int32()),
        ("seed", pa.int64()),
        ("token_ids", pa.list_(pa.int32())),
        ("logprob", pa.float64()),
        ("text", pa.string()),
        ("finish_reason", pa.string()),
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

    def digest(self) -> str:
        """16 hex digits."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Sample:
    """One stored completion. prompt: hash of the prompt's token ids; logprob: summed over its tokens."""

    problem: str
    prompt: str
    index: int
    seed: int
    token_ids: tuple[int, ...]
    logprob: float
    text: str
    finish_reason: str


def prompt_hash(prompt_ids: Sequence[int]) -> str:
    """16 hex digits."""
    return hashlib.sha256(",".join(map(str, prompt_ids)).encode()).hexdigest()[:16]


class SampleSet:
    """The samples of one key."""

    def __init__(self, root: Path, key: SampleKey):
        self.key = key
        self.directory = root / key.digest()

    def present(self) -> set[tuple[str, int]]:
        """(prompt hash, sample index) of everything stored."""
        table = self._read(["prompt", "index"])
        return set(zip(table["prompt"].to_pylist(), table["index"].to_pylist(), strict=True))

    def count(self, prompts: Sequence[Sequence[int]], n: int) -> int:
        """How many of the samples 0..n-1 of these prompts (token ids) are stored."""
        hashes = {prompt_hash(ids) for ids in prompts}
        return sum(prompt in hashes and index < n for prompt, index in self.present())

    def read(self, prompts: Iterable[str]) -> list[Sample]:
        """All samples of these prompts (hashes), sorted by prompt and index."""
        wanted = pa.array(sorted(set(prompts)), pa.string())
        table = self._read(SCHEMA.names)
        rows = table.filter(pa.compute.is_in(table["prompt"], wanted)).to_pylist()
        samples = [Sample(**{**row, "token_ids": tuple(row["token_ids"])}) for row in rows]
        return sorted(samples, key=lambda s: (s.prompt, s.index))

    def append(self, samples: Sequence[Sample]) -> None:
        """Stores the samples as one shard: all of them or, if the process dies, none."""
        self.directory.mkdir(parents=True, exist_ok=True)
        key = self.directory / "key.json"
        if not key.exists():
            write_bytes(key, json.dumps(asdict(self.key), indent=1).encode())
        columns: dict[str, list[Any]] = {n: [getattr(s, n) for s in samples] for n in SCHEMA.names}
        identity = ",".join(f"{s.prompt}/{s.index}" for s in samples)
        shard = self.directory / f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.parquet"
        buffer = pa.BufferOutputStream()
        pq.write_table(pa.table(columns, schema=SCHEMA), buffer, compression="zstd")
        write_bytes(shard, buffer.getvalue().to_pybytes())

    def _read(self, columns: list[str]) -> pa.Table:
        shards = sorted(self.directory.glob("*.parquet"))
        tables = [pq.read_table(shard, columns=columns) for shard in shards]
        empty = pa.schema([SCHEMA.field(name) for name in columns]).empty_table()
        return pa.concat_tables([empty, *tables])
