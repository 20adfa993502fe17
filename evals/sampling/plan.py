"""What a measurement needs: which samples of which problems."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from evals.records.conditions import Conditions, conditions
from evals.records.store import token_hash
from rlvr.core.seeds import derive_seed
from rlvr.core.shards import short_hash
from rlvr.engines import Sampling
from rlvr.tasks import Problem, Task
from rlvr.tasks.templates.chat import all_prompt_ids

# Samples of a problem that are drawn before it is asked again whether its r-th success is among them.
ROUND = 16


@dataclass(frozen=True)
class Plan:
    """Which samples a measurement needs: indices 0..n-1 of every problem. Equal prompts share theirs, but in
    episodes, where a problem is more than its prompt.

    stop_r: draw a problem until its r-th success in the order of the indices, or until n; None: draw n.
    chunk: samples that are drawn, stored and graded together at most; of stored ones four times as many.
    bad: what a failing environment leads to.
    """

    task: Task
    problems: tuple[Problem, ...]
    prompt_ids: tuple[tuple[int, ...], ...]  # one tuple a problem
    sampling: Sampling
    n: int
    stop_r: int | None = None
    chunk: int = 512
    bad: Literal["stop", "wrong"] = "stop"
    tokenizer: Any = field(default=None, compare=False, repr=False)  # of what an environment answers

    @property
    def conditions(self) -> Conditions:
        return conditions(self.task, self.problems, self.sampling)

    @cached_property
    def prompt_hashes(self) -> tuple[str, ...]:
        """What the samples of a problem are stored under: the hash of its prompt; in episodes, of the prompt
        and what they begin with."""
        prompts = map(token_hash, self.prompt_ids)
        if self.task.environment is None:
            return tuple(prompts)
        return tuple(map(short_hash, zip(prompts, self.reference_hashes, strict=True)))

    @cached_property
    def reference_hashes(self) -> tuple[str, ...]:
        """Of what the verifier is given for each problem."""
        return tuple(short_hash(problem.reference) for problem in self.problems)

    @property
    def samples(self) -> int:
        """The most samples that it needs."""
        return len(set(self.prompt_hashes)) * self.n

    def groups(self) -> list[tuple[int, ...]]:
        """The problems' places, those that share samples together, in the order of the problems."""
        equal: dict[str, list[int]] = {}
        for place, prompt in enumerate(self.prompt_hashes):
            equal.setdefault(prompt, []).append(place)
        return [tuple(places) for places in equal.values()]


def make_plan(
    task: Task,
    tokenizer: Any,
    sampling: Sampling,
    n: int,
    max_problems: int | None = None,
    seed: int = 0,
    stop_r: int | None = None,
    chunk: int = 512,
    bad: Literal["stop", "wrong"] = "stop",
) -> Plan:
    """Plans n samples of the task's test problems, or of a seeded subset of them in their order."""
    kept: Sequence[int] = range(len(task.test))
    if max_problems is not None and max_problems < len(kept):
        chosen = random.Random(derive_seed(seed, "problems", task.name))
        kept = sorted(chosen.sample(kept, max_problems))
    problems = [task.test[i] for i in kept]
    prompts = tuple(all_prompt_ids(tokenizer, problems))
    return Plan(task, tuple(problems), prompts, sampling, n, stop_r, chunk, bad, tokenizer)
