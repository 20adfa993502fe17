"""The sample store: append-only, shared by runs, so that no sample is ever drawn or graded twice.

One directory per sample set; its name is the hash of everything that the samples' distribution depends
on. In it lie `key.json`, `names.json`, `referrers/` (whose files refer to it), `samples/`, per grader
`verdicts/<hash of its version>/`, and per checker of reasoning `soundness/<hash of its version>/`:
`rlvr.core.shards`. All ranks need the same view of
the directory. Beside the sets lies judges/: what models were asked of completions, see
`rlvr.graders.judging`.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rlvr.core.records import read_object
from rlvr.core.run_dir import write_bytes
from rlvr.core.shards import Shards, short_hash
from rlvr.engines import Turn
from rlvr.graders import Status

# A set's file of names, and its folder of notes on files that refer to it.
NAMES, REFERRERS = "names.json", "referrers"
# Tokens of samples whose texts are in memory at a time.
TOGETHER = 1 << 22
SAMPLES = pa.schema(
    [
        ("prompt", pa.string()),  # hash of its token ids; in episodes, of these and the reference
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
# Of a set of episodes.
EPISODES = (
    SAMPLES.append(
        pa.field("turns", pa.large_string())  # see `turns_text`
    ).append(pa.field("final", pa.large_string()))  # what the verifier is given, where that is not the text
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
REASONS = {"finish_reason": ("stop", "length", "failed")}
STATUSES = {"status": tuple(map(str, Status))}
SOUNDNESS = pa.schema(
    [
        *[VERDICTS.field(name) for name in VERDICT_KEY],
        ("sound", pa.bool_()),  # null: the checker could not decide
    ]
)


@dataclass(frozen=True)
class SampleKey:
    """What a sample's distribution depends on, apart from its prompt and, in episodes, what the environment
    holds. Hashes are hex."""

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
    environment: str = ""  # its version and limits

    def fields(self) -> dict[str, Any]:
        """Its fields, without `stop` and `environment` where there are none: such sets are named as before
        there were any."""
        later = ("stop", "environment")
        return {name: value for name, value in asdict(self).items() if name not in later or value}

    def digest(self) -> str:
        """16 hex digits."""
        return short_hash(self.fields())

    def stream(self) -> str:
        """What seeds are derived from; models that differ in their configuration alone draw alike, and with
        stop strings, or fewer turns, a sample is the beginning of the one without."""
        apart = ("config", "stop", "environment")
        return short_hash({name: value for name, value in asdict(self).items() if name not in apart})


def turns_text(turns: Sequence[Turn]) -> str:
    """As they are stored: JSON, a list of objects with the fields of a `Turn`."""
    return json.dumps([turn._asdict() for turn in turns])


def read_turns(text: str) -> tuple[Turn, ...]:
    return tuple(Turn(**turn) for turn in json.loads(text))


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
        self.schema = EPISODES if key.environment else SAMPLES
        self.shards = Shards(self.directory / "samples", self.schema, ("prompt", "index"), REASONS)

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

    def refer(self, file: Path) -> None:
        """Notes that a measurement's file refers to these samples, before it is written: pruning looks there.

        Where both lie below one directory the note is relative to that, so that it can be moved. Raises
        FileNotFoundError where the set has been removed.
        """
        root, place = self.directory.resolve().parent.parent, file.resolve()
        name = str(place.relative_to(root) if place.is_relative_to(root) else place)
        note = self.directory / REFERRERS / f"{short_hash(name)}.json"
        if note.exists():
            return
        try:
            note.parent.mkdir(exist_ok=True)
            write_bytes(note, json.dumps({"file": name}).encode())
        except FileNotFoundError:
            raise
        except OSError as error:  # a store that others keep
            warnings.warn(
                f"it cannot be noted in {self.directory} that {file} refers to these samples ({error}): who "
                "prunes that store is not told. `python -m evals export samples` makes a run independent",
                stacklevel=2,
            )

    def referrers(self) -> list[Path]:
        """The files that were noted; some may have been moved, removed or made whole since."""
        root = self.directory.resolve().parent.parent
        notes = sorted((self.directory / REFERRERS).glob("*.json"))
        return [root / str(read_object(note, "file")["file"]) for note in notes]

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
        light = self.read(["tokens"])
        rest = [name for name in self.schema.names if name not in self.shards.key]
        with pq.ParquetWriter(path, self.schema, compression="zstd") as writer:
            for start, stop in blocks(light["prompt"], light["tokens"]):
                prompts = {*light["prompt"][start:stop].unique().to_pylist()}
                writer.write_table(self.read(rest, prompts).combine_chunks())
        return light.num_rows


class ByPrompt:
    """The rows of a table of the store, which is sorted, prompt by prompt."""

    def __init__(self, table: pa.Table):
        self.table = table
        counts = table["prompt"].value_counts()
        ends = np.cumsum(counts.field("counts").to_numpy())
        self.ends = dict(zip(counts.field("values").to_pylist(), ends.tolist(), strict=True))
        self.counts = dict(zip(self.ends, counts.field("counts").to_pylist(), strict=True))

    def of(self, prompt: str) -> pa.Table:
        """Of one prompt; empty where there are none."""
        count = self.counts.get(prompt, 0)
        return self.table.slice(self.ends.get(prompt, 0) - count, count)


def find_rows(table: pa.Table, prompts: pa.Array, index: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """[R]: the row of each of R prompts and indices in a table of the store, the first of several; -1 where
    it has none."""
    names, known_index = table["prompt"].unique(), table["index"].to_numpy()
    depth = 1 + max(known_index.max(initial=0), index.max(initial=0))

    def keys(column: pa.Array, own: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        place = pc.fill_null(pc.index_in(column, names), len(names)).to_numpy(zero_copy_only=False)
        return place.astype(np.int64) * int(depth) + own

    known, asked = keys(table["prompt"].combine_chunks(), known_index), keys(prompts, index)
    if not len(known):
        return np.full(len(asked), -1)
    place = np.minimum(np.searchsorted(known, asked), len(known) - 1)  # the store's rows are sorted
    return np.where(known[place] == asked, place, -1)


def blocks(owners: pa.ChunkedArray, tokens: pa.ChunkedArray) -> Iterator[tuple[int, int]]:
    """Rows start..stop-1 that are read together: all rows of some owners, which stand together, with TOGETHER
    tokens at most or of one owner."""
    if not len(owners):
        return
    names = owners.combine_chunks()
    changes = pc.not_equal(names[1:], names[:-1]).to_numpy(zero_copy_only=False)
    ends = [*(np.flatnonzero(changes) + 1).tolist(), len(names)]
    total = np.concatenate([[0], np.cumsum(pc.fill_null(tokens, 0).to_numpy(), dtype=np.int64)])
    start = stop = 0
    for end in ends:
        if stop > start and total[end] - total[start] > TOGETHER:
            yield start, stop
            start = stop
        stop = end
    yield start, stop
