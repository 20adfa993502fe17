"""The one piece of code that measures both sides: a plan, a model's weights, the store, all ranks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any

from accelerate import PartialState
from accelerate.utils import gather_object
from rich.console import Console

from evals.measure import Measuring, Plan, make_plan
from evals.measurement import Measurement
from evals.store import SampleKey, SampleSet, store_root
from rlvr.config import ProbeConfig
from rlvr.engines import Engine, Sampling
from rlvr.progress import progress
from rlvr.tasks import Task


@dataclass(frozen=True)
class Subject:
    """A model to measure. weights: its hash; name, dtype: of the engine; engine: gives the engine that
    holds the weights, called only where a sample is missing."""

    weights: str
    name: str
    dtype: str
    engine: Callable[[], Engine]


@dataclass(frozen=True)
class Reading:
    """A measurement and the samples behind it. drawn: samples that it newly drew, on all ranks."""

    measurement: Measurement
    samples: SampleSet
    drawn: int


class Instrument:
    """Measures models on tasks as a probe configuration says; every sample is drawn and graded once."""

    def __init__(self, config: ProbeConfig, tokenizer: Any, max_new_tokens: int, console: Console):
        self.config = config
        self.tokenizer = tokenizer
        self.sampling = Sampling(config.temperature, config.top_p, max_new_tokens)
        self.console = console
        self.ranks = PartialState()

    def plan(self, task: Task, n: int, stop_r: int | None = None) -> Plan:
        """n samples of the task's test problems, of a seeded subset where the configuration asks for one."""
        c = self.config
        return make_plan(task, self.tokenizer, self.sampling, n, c.max_problems, c.seed, stop_r, c.chunk)

    def samples(self, plan: Plan, subject: Subject) -> SampleSet:
        """Where the subject's samples are stored."""
        key = SampleKey(
            weights=subject.weights,
            tokenizer=tokenizer_hash(self.tokenizer),
            template=plan.task.template,
            **asdict(plan.sampling),
            engine=subject.name,
            dtype=subject.dtype,
            seed=self.config.seed,
        )
        return SampleSet(store_root(), key)

    def measure(self, plan: Plan, subject: Subject, title: str) -> Reading | None:
        """Draws and grades what is missing, on all ranks; the reading on the main process, None elsewhere."""
        samples = self.samples(plan, subject)
        measuring = Measuring(plan, samples, subject.engine)
        rank, ranks = self.ranks.process_index, self.ranks.num_processes
        with progress(title, measuring.missing(rank, ranks), self.console) as display:
            drawn = sum(gather_object([measuring.run(display, rank, ranks)]))
        self.ranks.wait_for_everyone()
        if not self.ranks.is_main_process:
            return None
        return Reading(measuring.counted(), samples, drawn)


class LazyEngine:
    """Builds an engine when it is first asked for and closes it at the end of the block, if it was."""

    def __init__(self, build: Callable[[], Engine]):
        self.build = build
        self.built: Engine | None = None

    def __call__(self) -> Engine:
        self.built = self.built or self.build()
        return self.built

    def __enter__(self) -> LazyEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.built is not None:
            self.built.close()


def tokenizer_hash(tokenizer: Any) -> str:
    """16 hex digits of everything that maps text to token ids."""
    return hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()[:16]
