"""Stored measurements read back: one file, or those of a base and a policy that may be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evals.estimators.counts import Counts
from evals.estimators.soundness import SoundCounts
from evals.estimators.turns import TurnCounts
from evals.records.conditions import ConditionsError, check_comparable
from evals.records.files import CountsFile, FileError, read_about, read_counts, read_reference
from evals.records.samples import SAMPLES_SUFFIX, read_samples, sample_blocks
from evals.records.store import read_turns
from rlvr.engines import Turn
from rlvr.graders import Status


@dataclass(frozen=True)
class Answers:
    """What the n samples of one problem answered, in the order of their indices: [n] each.

    tokens: a hash of each sample's token ids.
    """

    status: tuple[str, ...]
    extracted: tuple[str | None, ...]
    finish_reason: tuple[str, ...]
    tokens: tuple[int, ...]

    @property
    def correct(self) -> tuple[bool, ...]:
        return tuple(status == Status.CORRECT for status in self.status)


@dataclass(frozen=True)
class Text:
    """One sample as it was written and graded. turns: of an episode."""

    index: int
    text: str
    finish_reason: str
    status: str
    extracted: str | None
    sound: bool | None = None
    turns: tuple[Turn, ...] = ()


TEXT = {field.name for field in fields(Text)}


@dataclass(frozen=True)
class MeasurementFile:
    """A file's measurement. answers: by problem, None where the file holds counts alone."""

    name: str
    measured: CountsFile
    answers: Mapping[str, Answers] | None = None

    @property
    def counts(self) -> Counts:
        return self.measured.counts

    @property
    def problems(self) -> tuple[str, ...]:
        return self.measured.problems

    @property
    def turns(self) -> TurnCounts | None:
        """Right answers by the turns they took; None where these are no episodes."""
        return self.measured.turns

    @property
    def sound(self) -> SoundCounts | None:
        """Right answers by what a checker of reasoning said; None where nobody looked."""
        return self.measured.sound


def read_stored(path: Path) -> MeasurementFile:
    """<task>.samples.parquet, from which the counts are made again, or a file of counts.

    Samples tell how many they are, not when sampling was to stop: that is read from the counts beside
    them, where there are any. Raises FileError.
    """
    if not path.name.endswith(SAMPLES_SUFFIX):
        return MeasurementFile(path.stem, read_counts(path))
    answers = read_answers(path)
    name = path.name.removesuffix(SAMPLES_SUFFIX)
    beside = path.with_name(f"{name}.parquet")
    measured = read_counts(beside) if beside.exists() else _measured(path, answers)
    stored = MeasurementFile(name, measured, answers)
    if {*answers} != {*measured.problems}:
        raise FileError(f"{path} and {beside.name} hold different problems")
    for problem, n, correct in zip(
        measured.problems, measured.counts.n, measured.counts.correct, strict=True
    ):
        found = answers[problem].correct
        if (len(found), sum(found)) != (n, correct):
            raise FileError(
                f"{path}, problem {problem}: {sum(found)} of {len(found)} samples are correct, {beside.name} "
                f"says {correct} of {n}"
            )
    return stored


def read_comparable(base: Path, policy: Path) -> tuple[MeasurementFile, MeasurementFile]:
    """Base and policy, in the order of the base's problems.

    Raises FileError, and ConditionsError where they were measured on other problems or under other
    conditions. Files without conditions, which others wrote, are held to the problems alone.
    """
    one, other = read_stored(base), read_stored(policy)
    if one.measured.conditions is not None and other.measured.conditions is not None:
        check_comparable(one.measured.conditions, other.measured.conditions)
    if differing := {*one.problems} ^ {*other.problems}:
        shown = ", ".join(sorted(differing)[:5])
        raise ConditionsError(
            f"base and policy cannot be compared: {len(differing)} problem(s) stand in one file alone "
            f"({shown}{', ...' if len(differing) > 5 else ''})"
        )
    return one, _ordered(other, one.problems)


def both_sound(base: MeasurementFile, policy: MeasurementFile) -> tuple[SoundCounts, SoundCounts] | None:
    """What the same checker said of base and policy; None where it did not look at both."""
    one, other = base.sound, policy.sound
    if one is None or other is None or base.measured.soundness != policy.measured.soundness:
        return None
    return one, other


def read_answers(path: Path) -> dict[str, Answers]:
    """By problem, in the order of the file. Raises FileError."""
    columns = ["problem", "index", "status", "extracted", "finish_reason"]
    refers = read_reference(path) is not None
    parts, tokens = [], list[NDArray[np.int64]]()
    for part in sample_blocks(path, [*columns, "digest" if refers else "token_ids"]):
        parts.append(part.select(columns))
        tokens.append(_digest_hashes(part["digest"]) if refers else _token_hashes(part["token_ids"]))
    table = pa.concat_tables(parts).append_column("tokens", pa.array(np.concatenate(tokens)))
    table = table.sort_by("index")
    problems = table["problem"].to_pylist()
    rows: dict[str, list[int]] = {}
    for row, problem in enumerate(problems):
        rows.setdefault(problem, []).append(row)
    _check_indices(path, table["index"].to_numpy(), rows)
    status, extracted, finish, hashes = (table[name].to_pylist() for name in (*columns[2:], "tokens"))
    return {
        problem: Answers(
            tuple(status[i] for i in own),
            tuple(extracted[i] for i in own),
            tuple(finish[i] for i in own),
            tuple(hashes[i] for i in own),
        )
        for problem, own in rows.items()
    }


def read_texts(path: Path, problems: Sequence[str]) -> dict[str, list[Text]]:
    """The samples of some problems, in the order of their indices. Raises FileError."""
    columns = ["problem", "index", "text", "finish_reason", "status", "extracted"]
    only = ("problem", problems) if problems else None
    about, _ = read_about(path)
    columns += ["turns"] if about is not None and about.environment else []
    table = read_samples(path, columns, only, optional=["sound"])
    texts: dict[str, list[Text]] = {problem: [] for problem in problems}
    for row in table.sort_by("index").to_pylist() if problems else []:
        row["turns"] = read_turns(row["turns"]) if "turns" in row else ()
        texts[row["problem"]].append(Text(**{name: row[name] for name in row if name in TEXT}))
    if missing := [problem for problem, found in texts.items() if not found]:
        raise FileError(f"{path} holds no samples of {', '.join(missing[:5])}")
    return texts


def _check_indices(path: Path, index: np.ndarray, rows: Mapping[str, list[int]]) -> None:
    """Samples are in issue order 0, 1, 2, ...: a gap or a repeat would bias what is made of them."""
    for problem, own in rows.items():
        if not np.array_equal(index[own], np.arange(len(own))):
            raise FileError(f"{path}, problem {problem}: sample indices are not 0..{len(own) - 1}, each once")


def _token_hashes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """One hash a row, without a Python number for each token."""
    lists = column.combine_chunks()
    values, ends = lists.flatten().to_numpy(), np.cumsum(lists.value_lengths().fill_null(0).to_numpy())
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    hashes = (hash(values[start:end].tobytes()) for start, end in zip(starts, ends, strict=True))
    return np.fromiter(hashes, np.int64, len(lists))


def _digest_hashes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    return np.fromiter(map(hash, column.to_pylist()), np.int64, len(column))


def _measured(path: Path, answers: Mapping[str, Answers]) -> CountsFile:
    """Counts of samples drawn in a fixed number: without a counts file nothing else is known."""
    sizes = np.array([len(own.status) for own in answers.values()])
    if len(set(sizes.tolist())) > 1:
        raise FileError(
            f"{path}: problems have between {sizes.min()} and {sizes.max()} samples; put the counts file "
            "beside it, which says whether sampling stopped at a success"
        )
    try:
        counts = Counts(sizes, np.array([sum(own.correct) for own in answers.values()], dtype=np.int64))
    except ValueError as error:
        raise FileError(f"{path}: {error}") from None
    return CountsFile(tuple(answers), counts, *read_about(path), {}, {})


def _ordered(stored: MeasurementFile, problems: Sequence[str]) -> MeasurementFile:
    place = {problem: i for i, problem in enumerate(stored.problems)}
    rows, counts = [place[problem] for problem in problems], stored.counts
    sorted_counts = Counts(counts.n[rows], counts.correct[rows], counts.stop_r, counts.n_max)
    sound = stored.measured.sound
    if sound is not None:
        sound = SoundCounts.of(sorted_counts, sound.sound.correct[rows], sound.undecided[rows])
    turns = stored.measured.turns
    if turns is not None:
        turns = TurnCounts(turns.n[rows], turns.correct[:, rows], turns.tokens[:, rows])
    ordered = replace(
        stored.measured, problems=tuple(problems), counts=sorted_counts, sound=sound, turns=turns
    )
    return replace(stored, measured=ordered)
