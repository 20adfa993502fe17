"""The sample store: append-only, shared by runs, so that no sample is ever drawn or graded twice.

One directory per sample set; its name is the hash of everything that the samples' distribution depends
on. In it lie `key.json`, `names.json`, `samples/`, per grader `verdicts/<hash of its version>/`, and per
checker of reasoning `soundness/<hash of its version>/`: `rlvr.core.shards`. All ranks need the same view of
the directory. Beside the sets lies judges/: what models were asked of completions, see
`rlvr.graders.judging`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rlvr.core.run_dir import write_bytes
from rlvr.core.shards import Shards, short_hash
from rlvr.graders import Status

# A set's file of names.
NAMES = "names.json"
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
# What a verdict is on.
VERDICT_KEY = ("prompt", "index", "reference", "digest")
# What these columns may hold.
REASONS = {"finish_reason": ("stop", "length")}
STATUSES = {"status": tuple(map(str, Status))}
SOUNDNESS = pa.schema(
    [
        *[VERDICTS.field(name) for name in VERDICT_KEY],
        ("sound", pa.bool_()),  # null: the checker could not decide
    ]
)


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


def token_hash(ids: Sequence[int]) -> str:
    """16 hex digits."""
    return hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()[:16]


def keys_of(table: pa.Table, width: int | None = None) -> Iterator[tuple[Any, ...]]:
    """Of each row the first columns that are keys, by default all of them."""
    names = [n for n in VERDICT_KEY if n in table.column_names][:width]
    return zip(*(table[name].to_pylist() for name in names), strict=True)


class SampleSet:
    """The samples of one key, and what graders said of them."""

    def __init__(self, root: Path, key: SampleKey):
        self.key = key
        self.directory = root / key.digest()
        self.shards = Shards(self.directory / "samples", SAMPLES, ("prompt", "index"), REASONS)

    def verdicts(self, version: str) -> Shards:
        """What the grader of this version said; a new version starts anew."""
        directory = self.directory / "verdicts" / short_hash(version)
        return Shards(directory, VERDICTS, VERDICT_KEY, STATUSES)

    def soundness(self, version: str) -> Shards:
        """What the checker of this version said of the reasoning."""
        directory = self.directory / "soundness" / short_hash(version)
        return Shards(directory, SOUNDNESS, VERDICT_KEY)

    def tables(self) -> list[Shards]:
        """The samples, and all that graders and checkers of any version said."""
        made = [self.shards]
        for kind, schema, allowed in (("verdicts", VERDICTS, STATUSES), ("soundness", SOUNDNESS, None)):
            folders = sorted((self.directory / kind).glob("*"))
            made += [Shards(folder, schema, VERDICT_KEY, allowed) for folder in folders]
        return made

    @property
    def names(self) -> dict[str, list[str]]:
        """For people: models and tasks that the samples are of, as whoever drew them called them."""
        try:
            found = json.loads((self.directory / NAMES).read_text())
            return {about: [str(name) for name in found[about]] for about in ("models", "tasks")}
        except (OSError, ValueError, KeyError, TypeError):
            return {"models": [], "tasks": []}

    def name(self, model: str, task: str) -> None:
        """Adds to the names; called before samples are drawn."""
        known = self.names
        added = {"models": sorted({*known["models"], model}), "tasks": sorted({*known["tasks"], task})}
        if added == known:
            return
        with suppress(OSError):  # a store that cannot be written may have all that is asked for
            self.directory.mkdir(parents=True, exist_ok=True)
            write_bytes(self.directory / NAMES, json.dumps(added, indent=1).encode())

    def append(self, rows: Sequence[dict[str, Any]]) -> str:
        """Stores samples, all or none; the name of their shard."""
        key = self.directory / "key.json"
        if not key.exists():
            self.directory.mkdir(parents=True, exist_ok=True)
            write_bytes(key, json.dumps(self.key.fields(), indent=1).encode())
        return self.shards.append(rows)

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
