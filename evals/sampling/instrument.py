"""The one piece of code that measures both sides: a plan, a model's weights, the store, all ranks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

from accelerate.utils import gather_object
from rich.console import Console

from evals.records.measurement import Measurement
from evals.records.store import SampleKey, SampleSet
from evals.sampling.draws import Draws
from evals.sampling.measure import SamplingJob
from evals.sampling.plan import Plan, make_plan
from evals.sampling.settings import ProbeConfig
from evals.sampling.shares import Shares
from rlvr.core.progress import Display, plain_console, progress
from rlvr.core.replacing import remove_litter
from rlvr.core.shards import store_root
from rlvr.engines import Engine, Sampling
from rlvr.engines.lazy import LazyEngine
from rlvr.engines.sampler import Sampler
from rlvr.learning.accelerator import processes
from rlvr.tasks import Task


@dataclass(frozen=True)
class Subject:
    """A model to measure. weights, config: hashes of its weights and configuration; engine: holds it.

    name: for people.
    """

    weights: str
    config: str
    engine: Engine
    name: str

    @classmethod
    def of(cls, model: Sampler, engine: Engine) -> Subject:
        """The model, held by this engine."""
        return cls(model.weights, model.settings, engine, model.title)


@dataclass(frozen=True)
class MeasuredSamples:
    """A measurement and the samples behind it. drawn: samples that it newly drew, on all ranks."""

    measurement: Measurement
    samples: SampleSet
    drawn: int

    @property
    def reused(self) -> int:
        """Samples that it counted and did not draw: the store had them."""
        return max(0, self.measurement.counts.samples - self.drawn)


class Instrument:
    """Measures models on tasks as a probe configuration says; every sample is drawn and graded once."""

    def __init__(self, config: ProbeConfig, tokenizer: Any, max_new_tokens: int, console: Console):
        self.config = config
        self.tokenizer = tokenizer
        self.sampling = Sampling(config.temperature, config.top_p, max_new_tokens)
        self.console = console
        self.ranks = processes()  # where a run has made it, that stays
        self._lengths: dict[str, float] = {}  # of what was measured last, by the hash of the prompt

    def plan(self, task: Task, n: int, stop_r: int | None = None) -> Plan:
        """n samples of the task's test problems, of a seeded subset where the configuration asks for one."""
        c = self.config
        stop = task.ends if c.stop is None else c.stop
        sampling = replace(self.sampling, stop=stop) if stop else self.sampling
        return make_plan(task, self.tokenizer, sampling, n, c.max_problems, c.seed, stop_r, c.chunk, c.bad)

    def samples(self, plan: Plan, subject: Subject) -> SampleSet:
        """Where the subject's samples are stored."""
        key = SampleKey(
            weights=subject.weights,
            tokenizer=tokenizer_hash(self.tokenizer),
            template=plan.task.template,
            **plan.sampling.described(),
            engine=subject.engine.name,
            dtype=subject.engine.dtype,
            seed=self.config.seed,
            config=subject.config,
            environment="" if plan.task.environment is None else plan.task.environment.described,
        )
        return SampleSet(store_root(), key)

    def measure(
        self, plan: Plan, subject: Subject, title: str, draws: Draws | None = None
    ) -> MeasuredSamples | None:
        """Draws and grades what is missing, on all ranks; the reading on the main process, None elsewhere.

        draws: gets a note of what this rank draws.
        """
        measuring = self.measuring(plan, subject, draws)
        remove_litter(measuring.samples.directory, recursive=True)
        if self.ranks.is_main_process:
            measuring.samples.name(subject.name, plan.task.name)
        rank, ranks = self.ranks.process_index, self.ranks.num_processes
        missing = measuring.missing(rank, ranks)
        self._make_ready(subject.engine, missing)
        with progress(title, missing, self.console) as display:
            drawn = sum(gather_object([measuring.run(display, Shares(rank, ranks), self._lengths)]))
        self.ranks.wait_for_everyone()
        if not self.ranks.is_main_process:
            return None
        found = self._counted(measuring)
        self._lengths |= found.lengths
        return MeasuredSamples(found, measuring.samples, drawn)

    @staticmethod
    def _counted(measuring: SamplingJob) -> Measurement:
        try:
            return measuring.counted()
        except LookupError:
            # Another process drew the same samples, not equal to the bit, and has not graded them yet.
            measuring.run(Display("", 1, 0, plain_console(quiet=True)))
            return measuring.counted()

    def pilot(self, plan: Plan, subject: Subject, draws: Draws | None = None) -> int:
        """Draws and grades the first missing chunk of each rank; how many samples that were, on all ranks."""
        quiet = Display("", 1, 0, plain_console(quiet=True))
        rank, ranks = self.ranks.process_index, self.ranks.num_processes
        measuring = self.measuring(plan, subject, draws)
        self._make_ready(subject.engine, measuring.missing(rank, ranks))
        return sum(gather_object([measuring.run(quiet, Shares(rank, ranks), pilot=True)]))

    def _make_ready(self, engine: Engine, missing: int) -> None:
        """Builds an engine on all ranks where one of them is going to need it: engines meet as they start."""
        if sum(gather_object([missing])) and isinstance(engine, LazyEngine):
            engine.built()

    def measuring(self, plan: Plan, subject: Subject, draws: Draws | None = None) -> SamplingJob:
        """The plan on its way for this subject, with what the store has of it."""
        return SamplingJob(plan, self.samples(plan, subject), subject.engine, draws)


def tokenizer_hash(tokenizer: Any) -> str:
    """16 hex digits of everything that maps text to token ids."""
    return hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()[:16]
