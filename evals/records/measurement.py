"""What was measured of one model on one task: counts, shares, and the samples behind them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evals.estimators.counts import Counts
from evals.estimators.soundness import SoundCounts
from evals.estimators.turns import TurnCounts, turn_counts
from evals.records.conditions import Conditions
from evals.records.files import (
    BY_TURNS,
    COUNTS,
    REFERRING,
    Origin,
    counts_file,
    read_reference,
    samples_file,
    stamped,
)
from evals.records.parquet import holds, write_parquet
from evals.records.samples import holds_samples, refer
from evals.records.store import SampleKey, SampleSet, read_turns
from rlvr.graders import Status
from rlvr.tasks import Problem

# References longer than this, such as the tests of a program, are left out of the files.
REFERENCE_CHARACTERS = 2000


@dataclass(frozen=True)
class Measurement:
    """Counted samples of every problem, R in all, in the order of the problems and then of the indices.

    owner: [R] the problem's place. prompt_hashes: [problems]. table: R rows with index, tokens, digest,
    logprob, finish_reason, status, extracted, sound, and of episodes turns. soundness: the checker that
    looked at the reasoning, None where none did. most_turns: of an episode, None where these are none.
    """

    problems: tuple[Problem, ...]
    prompt_hashes: tuple[str, ...]
    counts: Counts
    conditions: Conditions
    origin: Origin
    owner: NDArray[np.int64]
    table: pa.Table
    soundness: str | None = None
    most_turns: int | None = None

    @cached_property
    def turns(self) -> TurnCounts | None:
        """Right answers by the turns they took; None without any, and where sampling stopped early."""
        if self.most_turns is None or self.counts.stop_r is not None:
            return None
        right = self.table["status"].to_numpy(zero_copy_only=False) == Status.CORRECT
        turns = map(read_turns, self.table["turns"].to_pylist())
        lengths = [[turn.end - turn.start for turn in row] for row in turns]
        return turn_counts(self.owner, len(self.problems), right.tolist(), lengths, self.most_turns)

    @cached_property
    def sound(self) -> SoundCounts | None:
        """Right answers by what the checker said; None without one, and where sampling stopped early."""
        if self.soundness is None or self.counts.stop_r is not None:
            return None
        right = self.table["status"].to_numpy(zero_copy_only=False) == Status.CORRECT
        said = self.table["sound"].to_numpy(zero_copy_only=False)
        unsound, undecided = (
            np.bincount(self.owner[right & flags], minlength=len(self.problems))
            for flags in (said == False, pa.compute.is_null(self.table["sound"]).to_numpy())  # noqa: E712
        )
        return SoundCounts.of(self.counts, self.counts.correct - unsound, undecided)

    @property
    def lengths(self) -> dict[str, float]:
        """Tokens of a completion, the mean of each prompt, by its hash."""
        tokens = self.table["tokens"].to_numpy(zero_copy_only=False)
        total = np.bincount(self.owner, tokens, len(self.problems))
        return dict(zip(self.prompt_hashes, (total / self.counts.n).tolist(), strict=True))

    @property
    def failed(self) -> float:
        """The share of episodes whose environment failed."""
        return float((self.table["finish_reason"].to_numpy(zero_copy_only=False) == "failed").mean())

    @property
    def shares(self) -> Mapping[str, float]:
        """Fractions of the counted samples that a reader should know of.

        truncated: cut at the token limit. duplicates: with the tokens of an earlier sample of the problem,
        a mean over problems.
        """
        status = self.table["status"].to_numpy(zero_copy_only=False)
        cut = self.table["finish_reason"].to_numpy(zero_copy_only=False) == "length"
        return {
            "truncated": float(cut.mean()),
            "unparsed": float((status == Status.UNPARSED).mean()),
            "timed_out": float((status == Status.TIMED_OUT).mean()),
            "duplicates": self._duplicates(),
        }

    def _duplicates(self) -> float:
        digests = self.table["digest"].to_numpy(zero_copy_only=False)
        unique = len(set(zip(self.owner.tolist(), digests.tolist(), strict=True)))
        if unique == len(digests):
            return 0.0
        rows = np.split(digests, np.flatnonzero(np.diff(self.owner)) + 1)
        return float(1 - np.mean([len(set(row)) / len(row) for row in rows]))

    def write(self, directory: Path, samples: SampleSet) -> None:
        """<task>.samples.parquet and <task>.parquet, whose contents are in `evals.records.files`.

        The first refers to the samples in the store. Each comes into place whole, the counts last. Where the
        same counts are there already, with their samples, nothing is written; a file that is damaged is set
        aside and made anew. Raises SamplesGoneError where the samples were removed meanwhile.
        """
        directory.mkdir(parents=True, exist_ok=True)
        task = self.conditions.task
        schema = COUNTS if self.turns is None else BY_TURNS
        counts = pa.Table.from_pylist(self._count_rows(), self._stamped(schema))
        rows = self._sample_rows(samples.key)
        file, beside = counts_file(directory, task), samples_file(directory, task)
        known = all([holds(file, counts), holds_samples(beside, rows)])
        if not known or read_reference(beside) is not None:
            refer(samples, beside)  # again too: the set may have been removed and drawn anew
        if known:
            return
        write_parquet(beside, rows)
        write_parquet(file, counts)

    def _count_rows(self) -> list[dict[str, object]]:
        counts, rows = self.counts, []
        none = [None] * len(self.problems)
        sound = self.sound.sound.correct.tolist() if self.sound else none
        undecided = self.sound.undecided.tolist() if self.sound else none
        each = zip(self.problems, counts.n, counts.correct, sound, undecided, strict=True)
        for problem, n, correct, own_sound, own_undecided in each:
            reference = json.dumps(problem.reference, default=str)
            rows.append(
                {
                    "problem": problem.id,
                    "n": int(n),
                    "correct": int(correct),
                    "stop_r": counts.stop_r,
                    "n_max": counts.n_max,
                    "prompt": problem.prompt,
                    "sound": own_sound,
                    "undecided": own_undecided,
                    "reference": reference if len(reference) <= REFERENCE_CHARACTERS else None,
                }
            )
        if self.turns is None:
            return rows
        by_turn = zip(rows, self.turns.correct.T.tolist(), self.turns.tokens.T.tolist(), strict=True)
        return [row | {"correct_by_turn": c, "tokens_by_turn": t} for row, c, t in by_turn]

    def _stamped(self, schema: pa.Schema, samples: SampleKey | None = None) -> pa.Schema:
        return stamped(schema, self.conditions, self.origin, self.soundness, samples)

    def _sample_rows(self, samples: SampleKey) -> pa.Table:
        """As a file has them that refers to the set."""
        columns = {name: self.table[name] for name in self.table.column_names}
        for name, values in (("problem", [p.id for p in self.problems]), ("prompt", self.prompt_hashes)):
            columns[name] = pa.array(values, pa.string()).take(pa.array(self.owner))
        ordered = pa.table({name: columns[name] for name in REFERRING.names})
        return ordered.cast(self._stamped(REFERRING, samples))
