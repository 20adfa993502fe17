"""Measuring one model on one task: draws and grades what the store lacks, then counts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from evals.estimators.counts import Counts
from evals.records.files import Origin
from evals.records.measurement import Measurement
from evals.records.store import SampleSet, keys_of
from evals.sampling.drawing import Drawing
from evals.sampling.draws import Draws
from evals.sampling.grading import Grading
from evals.sampling.looking import Key
from evals.sampling.plan import Plan
from evals.sampling.shares import Shares
from rlvr.core.progress import Display
from rlvr.engines import Engine
from rlvr.graders import Status


class SamplingJob:
    """A plan on its way: what the store has of it, and what is drawn and graded on this rank.

    engine: asked only for samples that are missing. draws: gets a note of what is drawn. Other processes may
    work at the same samples: each draws what no other does.
    """

    def __init__(self, plan: Plan, samples: SampleSet, engine: Engine, draws: Draws | None = None):
        self.plan = plan
        self.samples = samples
        self.grading = Grading(plan, samples)
        self.engine = engine
        self.draws = draws
        self.hashes = plan.prompt_hashes
        self.drawn = 0

    def missing(self, rank: int = 0, ranks: int = 1) -> int:
        """The most samples that this rank has to draw, counted in the store."""
        present = set(keys_of(self.samples.read(prompts=set(self.hashes)), 2))
        hashes = {self.hashes[group[0]] for group in self.plan.groups()[rank::ranks]}
        return sum((h, i) not in present for h in hashes for i in range(self.plan.n))

    def run(
        self,
        display: Display,
        shares: Shares | None = None,
        lengths: Mapping[str, float] | None = None,
        pilot: bool = False,
    ) -> int:
        """Draws and grades this rank's share of what is missing; returns how many samples it drew.

        lengths: tokens that completions of a prompt are expected to have, by its hash; the longest are drawn
        first. pilot: some first samples alone, `plan.chunk` at most or those of one problem.
        """
        groups = self.plan.groups()
        expected = [-(lengths or {}).get(self.hashes[group[0]], 0.0) for group in groups]
        shares = shares or Shares()
        order = shares.of(len(groups), expected)
        drawing = Drawing(self.plan, self.samples, self.grading, self.engine, display, self.draws)
        most = self.plan.chunk if pilot else None
        self.drawn = drawing.run((groups[i] for i in order), most, alone=shares.ranks == 1)
        return self.drawn

    def counted(self) -> Measurement:
        """The measurement, from the store alone. Raises LookupError for a sample or verdict it lacks."""
        plan = self.plan
        samples = self.samples.read(["tokens", "digest", "finish_reason"], set(self.hashes))
        verdicts = self.grading.verdicts.read(["status", "extracted"], set(self.hashes))
        sample_rows = {key: row for row, key in enumerate(keys_of(samples, 2))}
        present = dict(zip(keys_of(samples, 2), samples["digest"].to_pylist(), strict=True))
        verdict_rows = {key: row for row, key in enumerate(keys_of(verdicts))}
        correct = (verdicts["status"].to_numpy(zero_copy_only=False) == Status.CORRECT).tolist()
        rows: list[tuple[int, int, int]] = []  # place, row of the sample, row of the verdict
        keys: list[Key] = []
        totals = []
        for place, problem in enumerate(plan.problems):
            taken, right = 0, 0
            while taken < plan.n and (plan.stop_r is None or right < plan.stop_r):
                prompt = self.hashes[place]
                key = (prompt, taken, plan.reference_hashes[place], present.get((prompt, taken), ""))
                if key not in verdict_rows:
                    raise LookupError(f"problem {problem.id}: sample {taken} is not stored and graded")
                keys.append(key)
                rows.append((place, sample_rows[key[:2]], verdict_rows[key]))
                right += correct[verdict_rows[key]]
                taken += 1
            totals.append((taken, right))
        owner, own_samples, own_verdicts = np.array(rows, dtype=np.int64).T
        table = samples.select(["index", "tokens", "digest", "finish_reason"]).take(pa.array(own_samples))
        for name in ("status", "extracted"):
            table = table.append_column(name, verdicts[name].take(pa.array(own_verdicts)))
        right_ones = [correct[row] for row in own_verdicts]
        table = table.append_column("sound", self.grading.looking.column(keys, right_ones))
        n, right_counts = np.array(totals).T
        counts = Counts(n, right_counts, plan.stop_r, plan.n)
        of = self.samples.key
        origin = Origin(of.weights, of.tokenizer, of.engine, of.dtype, of.seed)
        soundness = plan.task.soundness
        return Measurement(
            plan.problems, self.hashes, counts, plan.conditions, origin, owner, table, soundness
        )
