"""Measurements as files: <task>.parquet, one row a problem, and <task>.samples.parquet, one row a sample.

Both carry the conditions and the origin of their numbers as Parquet metadata, so that each can be read,
compared and recomputed alone. What the samples say, their text and tokens, lies in the store, to which the
file refers; `evals.records.samples` reads it from there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from evals.estimators.counts import Counts
from evals.estimators.soundness import SoundCounts
from evals.estimators.turns import TurnCounts
from evals.records.conditions import Conditions
from evals.records.parquet import read_parquet
from evals.records.schema import SCHEMA, FileError, read_fields
from evals.records.store import SampleKey

METADATA = b"rlvr"
# In it: the key of the set that has the samples.
REFERENCE = "samples"
# Of a count.
LARGEST = 2**53
# Where the base's files lie, beside those of the policies.
BASE_FOLDER = "base"
COUNTS = pa.schema(
    [
        ("problem", pa.string()),
        ("n", pa.int64()),
        ("correct", pa.int64()),
        ("stop_r", pa.int64()),  # null: n was fixed
        ("n_max", pa.int64()),
        ("prompt", pa.string()),
        ("reference", pa.string()),  # JSON, null where it is long
        ("sound", pa.int64()),  # right without a wrong step; null: nobody looked
        ("undecided", pa.int64()),  # of these, those that the checker could not decide on
    ]
)
# Of episodes, by the turns 1..T that a sample may have: `evals.estimators.turns.TurnCounts`.
BY_TURNS = COUNTS.append(pa.field("correct_by_turn", pa.list_(pa.int64()))).append(
    pa.field("tokens_by_turn", pa.list_(pa.float64()))
)
SAMPLES = pa.schema(
    [
        ("problem", pa.string()),
        ("index", pa.int64()),
        ("text", pa.large_string()),
        ("token_ids", pa.large_list(pa.int32())),
        ("tokens", pa.int64()),
        ("logprob", pa.float64()),  # summed over the tokens, of the distribution sampled from
        ("finish_reason", pa.string()),
        ("status", pa.string()),
        ("extracted", pa.string()),
        ("sound", pa.bool_()),  # null: nobody looked, or the checker could not decide
    ]
)
# Columns that a file leaves to the store where it refers to it, and what it has in their place.
STORED = ("text", "token_ids", "turns")
REFERRING = pa.schema(
    [
        *[field for field in SAMPLES if field.name not in STORED],
        ("prompt", pa.string()),  # with the index, the sample's key in the store
        ("digest", pa.string()),  # hash of its token ids
    ]
)
# Of episodes: their turns as in the store, `evals.records.store.turns_text`.
EPISODES = SAMPLES.append(pa.field("turns", pa.large_string()))


@dataclass(frozen=True)
class Origin:
    """What was measured: hashes of weights and tokenizer, the engine and its dtype, the probe's seed."""

    weights: str
    tokenizer: str
    engine: str
    dtype: str
    seed: int


@dataclass(frozen=True)
class CountsFile:
    """Counts by problem. prompts: by problem id, empty where the file has none. conditions, origin: None
    in files that others wrote. sound, soundness: right answers by what a checker of this version said, None
    where nobody looked. turns: of episodes, None where these are none."""

    problems: tuple[str, ...]
    counts: Counts
    conditions: Conditions | None
    origin: Origin | None
    prompts: Mapping[str, str]
    references: Mapping[str, str]
    sound: SoundCounts | None = None
    soundness: str | None = None
    turns: TurnCounts | None = None


def counts_file(directory: Path, task: str) -> Path:
    return directory / f"{plain_name(task)}.parquet"


def samples_file(directory: Path, task: str) -> Path:
    return directory / f"{plain_name(task)}.samples.parquet"


def plain_name(task: str) -> str:
    """countdown-3-train for countdown:3/train."""
    return task.replace(":", "-").replace("/", "-")


def stamped(
    schema: pa.Schema,
    conditions: Conditions,
    origin: Origin,
    soundness: str | None = None,
    samples: SampleKey | None = None,
) -> pa.Schema:
    """The schema with the metadata that `read_about`, `read_soundness` and `read_reference` look for.

    soundness: the checker that looked. samples: the set that the file refers to.
    """
    about: dict[str, Any] = {
        "schema": SCHEMA, "conditions": conditions.described(), "origin": asdict(origin),
    }  # fmt: skip
    if soundness is not None:
        about["soundness"] = soundness
    if samples is not None:
        about[REFERENCE] = samples.fields()
    return schema.with_metadata({METADATA: json.dumps(about).encode()})


def read_reference(path: Path) -> SampleKey | None:
    """The sample set that a file refers to; None where it has its samples itself. Raises FileError."""
    fields = _metadata(path, read_parquet(path, [])).get(REFERENCE)
    if fields is None:
        return None
    if not isinstance(fields, dict):
        raise FileError(f"{path}: what it says of the samples that it refers to is damaged: restore the file")
    return read_fields(SampleKey, fields, str(path), strict=True)


def read_about(path: Path) -> tuple[Conditions | None, Origin | None]:
    """Conditions and origin of a Parquet file, None where it carries none."""
    return _about(path, _metadata(path, read_parquet(path, [])))


def _about(path: Path, about: dict[str, Any]) -> tuple[Conditions | None, Origin | None]:
    if not about:
        return None, None
    version = {"schema": about.get("schema", SCHEMA)}
    parts = [about.get(name) for name in ("conditions", "origin")]
    if not all(isinstance(part, dict) for part in parts):
        raise FileError(f"{path}: what it says of its conditions and its origin is damaged: restore the file")
    conditions, origin = ({**part, **version} for part in parts if isinstance(part, dict))
    return (
        read_fields(Conditions, conditions, str(path), strict=True),
        read_fields(Origin, origin, str(path), strict=True),
    )


def read_soundness(path: Path) -> str | None:
    """The checker that looked at the reasoning of a Parquet file's samples; None where none did."""
    return _metadata(path, read_parquet(path, [])).get("soundness")


def _metadata(path: Path, table: pa.Table) -> dict[str, Any]:
    stored = (table.schema.metadata or {}).get(METADATA)
    try:
        about = {} if stored is None else json.loads(stored)
    except ValueError as error:
        raise FileError(f"{path}: its metadata is damaged ({error}): restore the file") from None
    if not isinstance(about, dict):
        raise FileError(f"{path}: its metadata is damaged: restore the file")
    return about


def read_counts(path: Path) -> CountsFile:
    """A counts file: Parquet or JSON lines with problem, n, correct and, if any, stop_r and n_max.

    Raises FileError for a file that cannot be read and for counts that no sampling can give.
    """
    rows, about = _rows(path)
    for number, row in enumerate(rows, start=1):
        if not {"problem", "n", "correct"} <= row.keys():
            raise FileError(f"{path}, row {number}: has no {{'problem', 'n', 'correct'}}: {sorted(row)}")
        for key in ("n", "correct", "stop_r", "n_max", "sound", "undecided"):
            value = row.get(key)
            if value is None and key not in ("n", "correct"):
                continue
            if not isinstance(value, int) or isinstance(value, bool) or abs(value) > LARGEST:
                raise FileError(f"{path}, row {number}: {key} is {value!r:.40}, not a whole number")
    problems = tuple(str(row["problem"]) for row in rows)
    if len(set(problems)) < len(problems):
        raise FileError(f"{path}: a problem stands in it twice")
    if len(stops := {row.get("stop_r") for row in rows}) > 1:
        raise FileError(f"{path}: one file has one stop_r, this one has {sorted(map(str, stops))}")
    most = {int(row["n_max"]) for row in rows if row.get("n_max") is not None}
    try:
        counts = Counts(
            np.array([row["n"] for row in rows]),
            np.array([row["correct"] for row in rows]),
            stops.pop() if stops else None,
            max(most) if most else None,
        )
        sound, turns = _sound(rows, counts), _turns(rows, counts)
    except ValueError as error:
        raise FileError(f"{path}: {error}") from None
    soundness = None
    if sound is not None:
        soundness = (read_soundness(path) if path.suffix == ".parquet" else None) or "unnamed"
    texts = _texts(rows, "prompt"), _texts(rows, "reference")
    return CountsFile(problems, counts, *about, *texts, sound, soundness, turns)


def _sound(rows: list[dict[str, Any]], counts: Counts) -> SoundCounts | None:
    """Raises ValueError for counts that no checker can give."""
    if counts.stop_r is not None or not rows or any(row.get("sound") is None for row in rows):
        return None
    return SoundCounts.of(counts, [row["sound"] for row in rows], [row.get("undecided") or 0 for row in rows])


def _turns(rows: list[dict[str, Any]], counts: Counts) -> TurnCounts | None:
    """Raises ValueError for counts that no episodes can give."""
    if counts.stop_r is not None or not rows or any(row.get("correct_by_turn") is None for row in rows):
        return None
    columns = ([row.get(name) for row in rows] for name in ("correct_by_turn", "tokens_by_turn"))
    turns = TurnCounts(counts.n, *(np.array(column).T for column in columns))
    if not np.array_equal(turns.correct[-1], counts.correct):
        raise ValueError("the last of correct_by_turn is another number than correct")
    return turns


def _texts(rows: list[dict[str, Any]], key: str) -> dict[str, str]:
    return {str(row["problem"]): row[key] for row in rows if row.get(key) is not None}


def _rows(path: Path) -> tuple[list[dict[str, Any]], tuple[Conditions | None, Origin | None]]:
    """The rows of a file, and what its metadata says."""
    if path.suffix == ".parquet":
        table = read_parquet(path)
        return table.to_pylist(), _about(path, _metadata(path, table))
    try:
        lines = path.read_text().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path} cannot be read: {error}") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise FileError(f"{path}, line {number}: not JSON: {error}") from None
        if not isinstance(row, dict):
            raise FileError(f"{path}, line {number}: not an object")
        rows.append(row)
    return rows, (None, None)
