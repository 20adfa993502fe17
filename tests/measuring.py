"""A small task, an engine that counts what it is asked for, and a measurement with both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from toys import Batched

from evals.records.store import SampleKey, SampleSet
from evals.sampling.measure import SamplingJob
from evals.sampling.plan import Plan, make_plan
from evals.sampling.shares import Shares
from rlvr.core.progress import Display
from rlvr.engines import Completion, Request, Sampling
from rlvr.graders import Status, StringVerifier
from rlvr.tasks import Problem, Task

KEY = SampleKey("w", "t", "plain", 0.6, 0.95, 8, "fake", "float32", 0)
QUIET = Display("", 1, 0, Console(quiet=True))


class Letters:
    """Stands for a tokenizer: one token a character."""

    def encode(self, text: str) -> list[int]:
        return [ord(c) for c in text]


class Counting(Batched):
    """An engine whose completions tell their seed; it counts what it was asked for."""

    name, dtype = "fake", "float32"

    def __init__(self) -> None:
        self.asked: list[Request] = []

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        self.asked += requests
        for i, r in reversed(list(enumerate(requests))):
            yield i, Completion((r.seed % 97,), (-0.5,), f"{r.seed % 97}", "stop")


def small(text: str, reference: object) -> tuple[Status, str | None]:
    return (Status.CORRECT if int(text) < 30 else Status.WRONG), text


TASK = Task(
    "toy:x",
    [],
    [Problem(str(i), f"problem {i}", None) for i in range(5)],
    StringVerifier(small, "toy-1"),
    "plain",
)
PLAN = make_plan(TASK, Letters(), Sampling(0.6, 0.95, 8), n=300, max_problems=None, seed=0)


def measure(plan: Plan, engine: Counting, root: Path, rank: int = 0, ranks: int = 1) -> SamplingJob:
    """The measuring of one rank, run to its end."""
    measuring = SamplingJob(plan, SampleSet(root, KEY), engine)
    measuring.run(QUIET, Shares(rank, ranks))
    return measuring
