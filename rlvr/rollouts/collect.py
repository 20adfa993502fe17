"""Rollouts: problems -> scored groups of completions -> one batch of tensors."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from threading import Event
from typing import Any

import torch
from accelerate import Accelerator

from rlvr.algorithms.batch import ReadyBatch, padded
from rlvr.algorithms.bundle import Draws
from rlvr.config.schema import RolloutConfig
from rlvr.core.errors import UserError
from rlvr.core.process.state import kept
from rlvr.core.seeds import derive_seed
from rlvr.engines import Completion, Engine, Request, Sampling
from rlvr.graders import Verdict
from rlvr.graders.soundness.marks import marker_of
from rlvr.rollouts.playing.episodes import FAILED, play
from rlvr.rollouts.reward_functions import Row
from rlvr.rollouts.rewards import RewardMix
from rlvr.rollouts.rounds import Asked, Begun, DrawingStopped, Kept, Round, Runs
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
    these completions. draws: rounds that were needed. unused: samples of rounds that were drawn together
    with these and turned out not to be needed; they are in no group.
    """

    sampled: tuple[Group, ...]
    used: tuple[Group, ...]
    samples: int
    tokens: int
    draws: int
    unused: int = 0


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
        self.kept = Kept()  # of the last step, saved with checkpoints
        self.stopped = Event()  # tells what is drawn in another thread to end

    def collect(self, stream: Stream) -> Collected:
        """Draws until every rank has its share of groups to train on. Raises DrawsError at the bound."""
        return self.finish(self.begin(stream, stream.step), stream)

    def begin(self, stream: Stream, step: int, run: Runs = lambda call: call) -> Begun:
        """Asks for what the step surely needs. run: makes the call that draws it into one that gives what
        was drawn; by default it is drawn when it is asked for."""
        stream.step = step
        asked = self._ask(stream, self._ahead([0], 0))
        return Begun(step, run(partial(self._draw, asked)))

    def finish(self, begun: Begun, stream: Stream) -> Collected:
        """Grades what was drawn, and draws on where that is too little to train on. Raises DrawsError."""
        self.rewards.step = begun.step
        prompts, wanted = self.config.prompts, self.config.prompts // self.accelerator.num_processes
        sampled: list[Group] = []
        used: list[Group] = []
        rounds = list(begun.drawn())  # in the order of the stream
        draws = 0
        while min(counts := self._counts(len(used))) < wanted and draws < self.draws.max_draws:
            if draws == len(rounds):
                rounds += self._draw(self._ask(stream, self._ahead(counts, draws)))
            groups = self._groups(rounds[draws])
            draws += 1
            sampled += groups
            used += [g for g in groups if self._keeps(g)]
        least = min(counts)
        if least < wanted and (self.draws.at_bound == "stop" or least == 0):
            raise DrawsError(
                f"after {draws} draws of {prompts} problems some process has {least} of the {wanted} groups "
                "it needs with both right and wrong answers: the problems are too hard or too easy for the "
                "policy. Give the same command with a larger algorithm.max_draws, or with "
                "algorithm.at_bound=train to train on fewer groups, to go on from the last checkpoint."
            )
        if draws < len(rounds):
            stream.restore(rounds[draws - 1].state)  # what was not needed comes again, for the next policy
        self.kept = Kept(sum(counts), draws * prompts)
        each = prompts * (self.config.group_size + self.draws.greedy)
        return Collected(
            sampled=tuple(sampled),
            used=tuple(used[: min(least, wanted)]),  # as many on every rank: the same mini-batches
            samples=len(rounds) * each,
            tokens=self._tokens(rounds),
            draws=draws,
            unused=(len(rounds) - draws) * each,
        )

    def _ahead(self, counts: Sequence[int], draws: int) -> int:
        """How many rounds are drawn next, as all ranks agree. counts: what each has kept in this step."""
        if self.draws.keep is None:
            return 1
        prompts, ranks = self.config.prompts, self.accelerator.num_processes
        known = self.kept.plus(Kept(sum(counts), draws * prompts))
        share = prompts // ranks
        return known.rounds(share - min(counts), share, self.draws.max_draws - draws)

    def _ask(self, stream: Stream, count: int) -> Asked:
        """The requests of the next rounds."""
        c, rank, ranks = self.config, self.accelerator.process_index, self.accelerator.num_processes
        taken = [(stream.take(c.prompts)[rank::ranks], stream.state()) for _ in range(count)]
        prompts = [[prompt_ids(self.tokenizer, p) for _, p in problems] for problems, _ in taken]
        kinds = [(Sampling(c.temperature, c.top_p, c.max_new_tokens), c.group_size)]
        kinds += [(Sampling(0.0, 1.0, c.max_new_tokens), 1)] if self.draws.greedy else []
        seed = partial(derive_seed, self.seed, "rollout")
        requests = [
            (Request(prompt, self._ended(sampling, p), seed(position, p.id, i)), p)
            for (problems, _), of_round in zip(taken, prompts, strict=True)
            for sampling, size in kinds
            for (position, p), prompt in zip(problems, of_round, strict=True)
            for i in range(size)
        ]
        return Asked(taken, prompts, c.group_size, int(self.draws.greedy), requests)

    def _draw(self, asked: Asked) -> list[Round]:
        """The rounds, drawn in one stream of the engine; in any thread. Raises DrawingStopped."""
        if self.accelerator.device.type == "cuda":  # each thread has a current GPU of its own
            torch.cuda.set_device(self.accelerator.device)
        done = {}
        parts = self.engine, self.task, self.tokenizer
        for i, completion in play(*parts, asked.requests, self.rewards.failed):
            if self.stopped.is_set():
                raise DrawingStopped
            done[i] = completion
        return asked.rounds(done)

    def _groups(self, drawn: Round) -> list[Group]:
        """One scored group for each problem of a round."""
        sampled = self._score(drawn.problems, drawn.sampled)
        greedy = self._score(drawn.problems, drawn.greedy) if self.draws.greedy else [[]] * len(sampled)
        each = zip(drawn.problems, drawn.prompts, sampled, greedy, strict=True)
        return [
            Group(problem, position, prompt, tuple(scored), best[0] if best else None)
            for (position, problem), prompt, scored, best in each
        ]

    def _ended(self, sampling: Sampling, problem: Problem) -> Sampling:
        """With the strings that end a completion of this problem."""
        configured = self.config.stop
        stop = self.task.ends_of(problem) if configured is None else configured
        return replace(sampling, stop=stop) if stop else sampling

    def _score(
        self, problems: Sequence[tuple[int, Problem]], drawn: Sequence[Sequence[Completion]]
    ) -> list[list[Scored]]:
        """The completions of each problem with verdicts and rewards."""
        asked = [of for of, own in zip(problems, drawn, strict=True) for _ in own]
        completions = [completion for own in drawn for completion in own]
        whole = [(c, p) for c, (_, p) in zip(completions, asked, strict=True) if not c.failed]
        with kept(partial(_put_back, self.task.name)):
            items, prompts = [(c.graded, p.reference) for c, p in whole], [p.prompt for _, p in whole]
            said = iter(self.task.grade(items, prompts, by_step=self._by_step()))
        verdicts = [FAILED if c.failed else next(said) for c in completions]
        rows = [
            Row.of(completion, verdict, problem, position, bool(self.rewards.functions))
            for completion, (position, problem), verdict in zip(completions, asked, verdicts, strict=True)
        ]
        scored = (
            Scored(
                completion,
                reward.verdict,
                reward.total,
                reward.components,
                reward.bad,
                token_rewards(reward, self.tokenizer, completion.token_ids, completion.text),
            )
            for completion, reward in zip(completions, self.rewards(rows), strict=True)
        )
        return [list(islice(scored, len(own))) for own in drawn]

    def _by_step(self) -> bool:
        """Whether the checker is asked to mark steps: where these are paid, and for functions to see."""
        shown = bool(self.rewards.functions) and marker_of(self.task.checker) is not None
        return self.rewards.by_step or shown

    def _keeps(self, group: Group) -> bool:
        return self.draws.keep is None or self.draws.keep([s.verdict.correct for s in group.scored])

    def _tokens(self, rounds: Sequence[Round]) -> int:
        """How many were generated on all ranks."""
        return sum(self._counts(sum(c.drawn for drawn in rounds for c in drawn.completions)))

    def _counts(self, count: int) -> list[int]:
        """Of each rank."""
        own = torch.tensor([count], device=self.accelerator.device)
        return self.accelerator.gather(own).tolist()


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
        if given := scored.token_rewards:
            at_tokens[i, : len(given)] = torch.tensor(given)
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
