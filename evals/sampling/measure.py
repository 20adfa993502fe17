"""Measuring one model on one task: draws and grades what the store lacks, then counts."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow.compute as pc

from evals.records.measurement import Measurement
from evals.records.store import ByPrompt, SampleSet
from evals.sampling.counting import count
from evals.sampling.drawing import Drawing
from evals.sampling.draws import Draws
from evals.sampling.grading import Grading
from evals.sampling.plan import Plan
from evals.sampling.shares import Shares
from rlvr.core.progress import Display
from rlvr.engines import Engine


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
        stored = self.samples.read(prompts=set(self.hashes))
        counts = ByPrompt(stored.filter(pc.less(stored["index"], self.plan.n))).counts
        hashes = {self.hashes[group[0]] for group in self.plan.groups()[rank::ranks]}
        return sum(self.plan.n - counts.get(prompt, 0) for prompt in hashes)

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
        return count(self.plan, self.samples, self.grading)
