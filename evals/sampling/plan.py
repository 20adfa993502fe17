"""Which samples a measurement needs, and in which portions they are drawn."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from evals.records.conditions import Conditions, conditions
from evals.records.store import token_hash
from rlvr.core.seeds import derive_seed
from rlvr.engines import Sampling
from rlvr.tasks import Problem, Task
from rlvr.tasks.templates.chat import all_prompt_ids

# Samples of a problem that are drawn before it is asked again whether its r-th success is among them.
ROUND = 16


@dataclass(frozen=True)
class Plan:
    """Which samples a measurement needs: indices 0..n-1 of every problem. Equal prompts share theirs.

    stop_r: draw a problem until its r-th success in the order of the indices, or until n; None: draw n.
    chunk: samples that are drawn, and stored, together; one chunk at most is lost when the process dies.
    """

    task: Task
    problems: tuple[Problem, ...]
    prompt_ids: tuple[tuple[int, ...], ...]  # one tuple a problem
    sampling: Sampling
    n: int
    stop_r: int | None = None
    chunk: int = 512

    @property
    def conditions(self) -> Conditions:
        return conditions(self.task, self.problems, self.sampling)

    @property
    def prompt_hashes(self) -> tuple[str, ...]:
        """The prompts' hashes."""
        return tuple(map(token_hash, self.prompt_ids))

    @property
    def samples(self) -> int:
        """The most samples that it needs."""
        return len(set(self.prompt_ids)) * self.n

    def chunks(self) -> Iterator[list[int]]:
        """Indices of the problems that are drawn together, those with equal prompts in one chunk.

        Made of whole problems in their order, so an interrupted and resumed measurement computes the
        same batches as an uninterrupted one.
        """
        equal: dict[tuple[int, ...], list[int]] = {}
        for place, prompt in enumerate(self.prompt_ids):
            equal.setdefault(prompt, []).append(place)
        groups = list(equal.values())
        size = max(1, self.chunk // min(self.n, ROUND if self.stop_r else self.n))
        for start in range(0, len(groups), size):
            yield [place for group in groups[start : start + size] for place in group]


def make_plan(
    task: Task,
    tokenizer: Any,
    sampling: Sampling,
    n: int,
    max_problems: int | None = None,
    seed: int = 0,
    stop_r: int | None = None,
    chunk: int = 512,
) -> Plan:
    """Plans n samples of the task's test problems, or of a seeded subset of them in their order."""
    kept: Sequence[int] = range(len(task.test))
    if max_problems is not None and max_problems < len(kept):
        chosen = random.Random(derive_seed(seed, "problems", task.name))
        kept = sorted(chosen.sample(kept, max_problems))
    problems = [task.test[i] for i in kept]
    prompts = tuple(all_prompt_ids(tokenizer, problems))
    return Plan(task, tuple(problems), prompts, sampling, n, stop_r, chunk)
