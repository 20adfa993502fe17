"""Rollouts: problems -> scored groups of completions -> one batch of tensors."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rlvr.batch import Batch
from rlvr.config import Rewards
from rlvr.engines import Completion, Engine, Request, Sampling
from rlvr.rewards import outcome_reward
from rlvr.seeds import derive_seed
from rlvr.tasks import Problem, Task
from rlvr.verifiers import Verdict


@dataclass(frozen=True, slots=True)
class Scored:
    """A completion with its verdict and reward."""

    completion: Completion
    verdict: Verdict
    reward: float


@dataclass(frozen=True, slots=True)
class Group:
    """The completions of one problem. position: where the problem stood in the stream, unique in a run."""

    problem: Problem
    position: int
    prompt_ids: tuple[int, ...]
    scored: tuple[Scored, ...]


class ProblemStream:
    """Endless passes over the problems, each in its own seeded order; `position` is its whole state."""

    def __init__(self, problems: Sequence[Problem], seed: int, position: int = 0):
        if not problems:
            raise ValueError("the task has no training problems")
        self.problems = problems
        self.seed = seed
        self.position = position
        self._order: tuple[int, list[int]] = (-1, [])

    def take(self, count: int) -> list[tuple[int, Problem]]:
        """The next `count` problems with their positions."""
        taken = [(p, self._at(p)) for p in range(self.position, self.position + count)]
        self.position += count
        return taken

    def _at(self, position: int) -> Problem:
        epoch, index = divmod(position, len(self.problems))
        if self._order[0] != epoch:
            order = list(range(len(self.problems)))
            random.Random(derive_seed(self.seed, "stream", epoch)).shuffle(order)
            self._order = (epoch, order)
        return self.problems[self._order[1][index]]


class Rollouts:
    """Samples groups from an engine and scores them with the task's verifier, on one rank.

    Each rank takes every world_size-th problem of a draw, so groups are never split over ranks.
    """

    def __init__(
        self,
        engine: Engine,
        task: Task,
        tokenizer: Any,
        sampling: Sampling,
        group_size: int,
        rewards: Rewards,
        seed: int,
    ):
        self.engine = engine
        self.task = task
        self.tokenizer = tokenizer
        self.sampling = sampling
        self.group_size = group_size
        self.rewards = rewards
        self.seed = seed

    def collect(self, problems: Sequence[tuple[int, Problem]]) -> list[Group]:
        """One scored group for each (position, problem), in the order given."""
        prompts = [tuple(self.tokenizer.encode(p.prompt)) for _, p in problems]
        requests = [
            Request(prompt, self.sampling, derive_seed(self.seed, "rollout", position, p.id, i))
            for (position, p), prompt in zip(problems, prompts, strict=True)
            for i in range(self.group_size)
        ]
        scored: list[Scored | None] = [None] * len(requests)
        for index, completion in self.engine.generate(requests):
            scored[index] = self._score(completion, problems[index // self.group_size][1])
        whole = [s for s in scored if s is not None]
        if len(whole) != len(requests):
            raise RuntimeError(f"the engine returned {len(whole)} of {len(requests)} completions")
        size = self.group_size
        return [
            Group(problem, position, prompt, tuple(whole[i * size : (i + 1) * size]))
            for i, ((position, problem), prompt) in enumerate(zip(problems, prompts, strict=True))
        ]

    def _score(self, completion: Completion, problem: Problem) -> Scored:
        verdict = self.task.verify(completion.text, problem.reference)
        return Scored(completion, verdict, outcome_reward(verdict, self.rewards))


def to_batch(groups: Sequence[Group], device: torch.device | str = "cpu") -> Batch:
    """Pads the groups' completions into one batch (shapes: see `rlvr.batch`)."""
    rows = [(group, scored) for group in groups for scored in group.scored]
    completions = [scored.completion for _, scored in rows]
    prompt = torch.tensor([len(group.prompt_ids) for group, _ in rows])
    length = torch.tensor([len(c.token_ids) for c in completions])
    width, depth = int(prompt.max()), int(length.max())
    tokens = torch.zeros(len(rows), width + depth, dtype=torch.int64)
    logprobs = torch.zeros(len(rows), depth)
    mask = torch.zeros(len(rows), depth)
    for i, ((group, _), completion) in enumerate(zip(rows, completions, strict=True)):
        ids = (*group.prompt_ids, *completion.token_ids)
        start = width - len(group.prompt_ids)
        tokens[i, start : start + len(ids)] = torch.tensor(ids)
        logprobs[i, : len(completion.token_ids)] = torch.tensor(completion.logprobs)
        for first, last in completion.spans or ((0, len(completion.token_ids)),):
            mask[i, first:last] = 1
    fields: dict[str, Tensor] = {
        "tokens": tokens,
        "prompt_len": prompt,
        "completion_len": length,
        "mask": mask,
        "group": torch.tensor([group.position for group, _ in rows]),
        "truncated": torch.tensor([c.finish_reason == "length" for c in completions]),
        "correct": torch.tensor([scored.verdict.correct for _, scored in rows]),
        "rewards": torch.tensor([scored.reward for _, scored in rows], dtype=torch.float32),
        "engine_logprobs": logprobs,
    }
    return Batch(**{name: value.to(device) for name, value in fields.items()})
