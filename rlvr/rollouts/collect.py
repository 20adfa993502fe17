"""Rollouts: problems -> scored groups of completions -> one batch of tensors."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator

from rlvr.algorithms.batch import ReadyBatch, padded
from rlvr.algorithms.bundle import Draws
from rlvr.config.schema import RolloutConfig
from rlvr.core.errors import UserError
from rlvr.core.process.state import kept
from rlvr.core.seeds import derive_seed
from rlvr.engines import Completion, Engine, Request, Sampling, generate
from rlvr.graders import Verdict
from rlvr.graders.soundness.marks import marker_of
from rlvr.rollouts.reward_functions import Row
from rlvr.rollouts.rewards import RewardMix
from rlvr.rollouts.token_rewards import token_rewards
from rlvr.tasks import Problem, Task
from rlvr.tasks.streams import Stream
from rlvr.tasks.templates.chat import prompt_ids


@dataclass(frozen=True, slots=True)
class Scored:
    """A completion with its verdict and reward.

    components: the terms of the reward, by name. bad: whether a reward function gave no number.
    token_rewards: the part of the reward that is given at each token; empty where none is.
    """

    completion: Completion
    verdict: Verdict
    reward: float
    components: Mapping[str, float] = field(default_factory=dict)
    bad: bool = False
    token_rewards: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """The completions of one problem. position: where the problem stood in the stream, unique in a run.

    greedy: the policy's greedy completion, for algorithms that ask for it.
    """

    problem: Problem
    position: int
    prompt_ids: tuple[int, ...]
    scored: tuple[Scored, ...]
    greedy: Scored | None = None


class DrawsError(UserError):
    """Too few groups can be trained on; the message says what to do."""


@dataclass(frozen=True)
class Collected:
    """One step's groups on this rank: all that were sampled, and those that are trained on.

    samples: completions drawn on all ranks, greedy ones and those of dropped groups included. tokens: of
    these completions.
    draws: rounds of generation.
    """

    sampled: tuple[Group, ...]
    used: tuple[Group, ...]
    samples: int
    tokens: int
    draws: int


class Rollouts:
    """Samples groups from an engine and scores them with the task's verifier, on every rank its share.

    Each rank takes every world_size-th problem of a draw, so groups are never split over ranks.
    """

    def __init__(
        self,
        engine: Engine,
        task: Task,
        tokenizer: Any,
        config: RolloutConfig,
        rewards: RewardMix,
        draws: Draws,
        accelerator: Accelerator,
        seed: int,
    ):
        self.engine = engine
        self.task = task
        self.tokenizer = tokenizer
        self.config = config
        self.rewards = rewards
        self.draws = draws
        self.accelerator = accelerator
        self.seed = seed

    def collect(self, stream: Stream) -> Collected:
        """Draws until every rank has its share of groups to train on. Raises DrawsError at the bound."""
        self.rewards.step = stream.step
        rank, ranks = self.accelerator.process_index, self.accelerator.num_processes
        prompts, wanted = self.config.prompts, self.config.prompts // ranks
        sampled: list[Group] = []
        used: list[Group] = []
        draws = 0
        while self._least(len(used)) < wanted and draws < self.draws.max_draws:
            draws += 1
            groups = self._sample(stream.take(prompts)[rank::ranks])
            sampled += groups
            used += [g for g in groups if self._keeps(g)]
        least = self._least(len(used))
        if least < wanted and (self.draws.at_bound == "stop" or least == 0):
            raise DrawsError(
                f"after {draws} draws of {prompts} problems some process has {least} of the {wanted} groups "
                "it needs with both right and wrong answers: the problems are too hard or too easy for the "
                "policy. Give the same command with a larger algorithm.max_draws, or with "
                "algorithm.at_bound=train to train on fewer groups, to go on from the last checkpoint."
            )
        each = self.config.group_size + self.draws.greedy
        return Collected(
            sampled=tuple(sampled),
            used=tuple(used[: min(least, wanted)]),  # as many on every rank: the same mini-batches
            samples=draws * prompts * each,
            tokens=self._tokens(sampled),
            draws=draws,
        )

    def _sample(self, problems: Sequence[tuple[int, Problem]]) -> list[Group]:
        """One scored group for each (position, problem), in the order given."""
        c = self.config
        prompts = [prompt_ids(self.tokenizer, p) for _, p in problems]
        sampled = self._complete(
            problems, prompts, Sampling(c.temperature, c.top_p, c.max_new_tokens), c.group_size
        )
        greedy: list[list[Scored]] = [[] for _ in problems]
        if self.draws.greedy:
            greedy = self._complete(problems, prompts, Sampling(0.0, 1.0, c.max_new_tokens), 1)
        return [
            Group(problem, position, prompt, tuple(scored), best[0] if best else None)
            for (position, problem), prompt, scored, best in zip(
                problems, prompts, sampled, greedy, strict=True
            )
        ]

    def _complete(
        self,
        problems: Sequence[tuple[int, Problem]],
        prompts: Sequence[tuple[int, ...]],
        sampling: Sampling,
        count: int,
    ) -> list[list[Scored]]:
        """`count` scored completions of each problem."""
        requests = [
            Request(prompt, self._ended(sampling, p), derive_seed(self.seed, "rollout", position, p.id, i))
            for (position, p), prompt in zip(problems, prompts, strict=True)
            for i in range(count)
        ]
        done = dict(generate(self.engine, requests))
        if len(done) != len(requests):
            raise RuntimeError(f"the engine returned {len(done)} of {len(requests)} completions")
        completions = [done[i] for i in range(len(requests))]
        scored = self._score(problems, completions, count)
        return [scored[p * count : (p + 1) * count] for p in range(len(problems))]

    def _ended(self, sampling: Sampling, problem: Problem) -> Sampling:
        """With the strings that end a completion of this problem."""
        configured = self.config.stop
        stop = self.task.ends_of(problem) if configured is None else configured
        return replace(sampling, stop=stop) if stop else sampling

    def _score(
        self, problems: Sequence[tuple[int, Problem]], completions: Sequence[Completion], count: int
    ) -> list[Scored]:
        """Verdicts and rewards of `count` completions of each problem, which stand together."""
        asked = [(position, problem) for position, problem in problems for _ in range(count)]
        with kept(partial(_put_back, self.task.name)):
            verdicts = self.task.grade(
                [
                    (completion.text, p.reference)
                    for completion, (_, p) in zip(completions, asked, strict=True)
                ],
                [problem.prompt for _, problem in asked],
                by_step=self._by_step(),
            )
        rows = [
            Row(
                problem=problem.id,
                prompt=problem.prompt,
                completion=completion.text,
                tokens=len(completion.token_ids),
                truncated=completion.finish_reason == "length",
                reference=problem.reference,
                verdict=verdict,
                group=position,
                columns=problem.columns,
                logprob=sum(completion.logprobs) if self.rewards.functions else 0.0,
                token_ids=completion.token_ids,
            )
            for completion, (position, problem), verdict in zip(completions, asked, verdicts, strict=True)
        ]
        return [
            Scored(
                completion,
                reward.verdict,
                reward.total,
                reward.components,
                reward.bad,
                token_rewards(reward, self.tokenizer, completion.token_ids, completion.text),
            )
            for completion, reward in zip(completions, self.rewards(rows), strict=True)
        ]

    def _by_step(self) -> bool:
        """Whether the checker is asked to mark steps: where these are paid, and for functions to see."""
        shown = bool(self.rewards.functions) and marker_of(self.task.checker) is not None
        return self.rewards.by_step or shown

    def _keeps(self, group: Group) -> bool:
        return self.draws.keep is None or self.draws.keep([s.verdict.correct for s in group.scored])

    def _tokens(self, groups: Sequence[Group]) -> int:
        """How many were generated on all ranks."""
        scored = [s for group in groups for s in (*group.scored, group.greedy) if s is not None]
        own = torch.tensor([sum(len(s.completion.token_ids) for s in scored)], device=self.accelerator.device)
        return int(self.accelerator.gather(own).sum())

    def _least(self, count: int) -> int:
        """The smallest count of any rank."""
        own = torch.tensor([count], device=self.accelerator.device)
        return int(self.accelerator.gather(own).min())


def _put_back(task: str, piece: str) -> None:
    warnings.warn(f"task {task} changed {piece} of the training process: it was put back", stacklevel=2)


def to_batch(
    groups: Sequence[Group], device: torch.device | str = "cpu", mask_truncated: bool = False
) -> ReadyBatch:
    """Pads the groups' completions into one batch (shapes: see `rlvr.algorithms.batch`)."""
    rows = [(group, scored) for group in groups for scored in group.scored]
    completions = [scored.completion for _, scored in rows]
    prompts = [group.prompt_ids for group, _ in rows]
    tokens, prompt, length = padded(prompts, [c.token_ids for c in completions])
    depth = tokens.shape[1] - int(prompt.max())
    logprobs = torch.zeros(len(rows), depth)
    mask = torch.zeros(len(rows), depth)
    at_tokens = torch.zeros(len(rows), depth)
    for i, (_, scored) in enumerate(rows):
        if not scored.token_rewards:
            continue
        at_tokens[i, : len(scored.token_rewards)] = torch.tensor(scored.token_rewards)
    for i, completion in enumerate(completions):
        logprobs[i, : len(completion.token_ids)] = torch.tensor(completion.logprobs)
        masked = mask_truncated and completion.finish_reason == "length"
        for first, last in completion.spans or ((0, len(completion.token_ids)),):
            mask[i, first:last] = not masked
    greedy = [math.nan if group.greedy is None else group.greedy.reward for group, _ in rows]
    return ReadyBatch(
        tokens=tokens.to(device),
        prompt_len=prompt.to(device),
        completion_len=length.to(device),
        mask=mask.to(device),
        group=torch.tensor([group.position for group, _ in rows], device=device),
        truncated=torch.tensor([c.finish_reason == "length" for c in completions], device=device),
        correct=torch.tensor([scored.verdict.correct for _, scored in rows], device=device),
        rewards=torch.tensor([scored.reward for _, scored in rows], dtype=torch.float32, device=device),
        greedy_rewards=torch.tensor(greedy, dtype=torch.float32, device=device),
        token_rewards=at_tokens.to(device),
        engine_logprobs=logprobs.to(device),
    )
