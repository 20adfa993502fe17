"""Rewards: what a completion is worth, a sum of components that are logged one by one.

outcome: between `rewards.wrong` and `rewards.correct` by the verdict's score, or by what `rewards.control`
puts in its place (arXiv 2506.10947); an episode's is discounted by the turns before the last. turns: what the
environment gives for each turn, discounted alike. unsound: what a right answer with a wrong step is worth
less, where `rewards.unsound` says so. steps: what the task's checker says of single steps, between
`rewards.wrong_step` and `rewards.right_step`. format: for an answer that stands where the prompt asks for it.
overlong: DAPO's penalty on the last tokens before the limit. After these, the functions of `rewards.extra`,
each under its own name and times its weight.
"""

from __future__ import annotations

import math
import reprlib
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rlvr.config.schema import RewardConfig
from rlvr.core.errors import UserError
from rlvr.core.run_dir import append_jsonl
from rlvr.core.seeds import derive_seed
from rlvr.engines import Completion, Turn
from rlvr.graders import Mark, Status, Verdict
from rlvr.rollouts.calls import Raised
from rlvr.rollouts.deadline import Deadline, Overdue
from rlvr.rollouts.playing.acting import Failure
from rlvr.rollouts.reward_functions import LARGEST, RewardFunction, Row, Worth, is_built_in, worth
from rlvr.tasks import Problem

MOST_EVIDENCE = 1000


class RewardError(UserError):
    """A reward function gave no number, or never returned; the message names it and what is left."""


@dataclass(frozen=True, slots=True)
class Reward:
    """The reward of one completion.

    verdict: the grader's, or wrong where a reward function gave no number.
    components: what each adds, weights included. bad: whether a reward function gave no number.
    spans, tokens: the parts of it that are given for spans of the text, and for each token (by each function
    that gives any); both are in the components, too.
    """

    verdict: Verdict
    components: Mapping[str, float]
    bad: bool = False
    spans: tuple[Mark, ...] = ()
    tokens: tuple[tuple[float, ...], ...] = ()

    @property
    def total(self) -> float:
        return sum(self.components.values())


class RewardMix:
    """Adds up the components.

    limit: the most tokens of a completion. functions: as `load_functions` gives them. evidence: the file
    that gets a line for each time a function gave no number, the first thousand of them. saved: says what
    of the run is on disk. step: of training, for messages.
    """

    def __init__(
        self,
        config: RewardConfig,
        functions: Sequence[RewardFunction],
        limit: int,
        evidence: Path,
        saved: Callable[[], str] = lambda: "nothing",
        seed: int = 0,
    ):
        self.config = config
        self.seed = seed
        self.saved = saved
        self.step = 0
        self.functions = functions
        self.limit = limit
        self.evidence = evidence
        self._kept = 0

    def __call__(self, rows: Sequence[Row]) -> list[Reward]:
        """The reward of each, in order; a group's rows stand together.

        Raises RewardError if `rewards.bad` is stop.
        """
        extra: list[dict[str, Worth]] = [{} for _ in rows]
        bad = {i for i, row in enumerate(rows) if row.failed}
        for function in self.functions:
            for i, returned in enumerate(self._values(function, rows)):
                value = worth(returned, function.settings.weight, rows[i])
                extra[i][function.name] = value or Worth(0.0)
                if value is None:
                    bad.add(i)
                    self._keep_evidence(function.name, rows[i], returned)
        return [
            self._reward(row, self._score(row, place), extra[i], i in bad)
            for i, (row, place) in enumerate(zip(rows, _places(rows), strict=True))
        ]

    def _score(self, row: Row, place: int) -> float:
        """What the outcome goes by, 0 to 1. place: of the completion in its group."""
        verdict = row.verdict
        match self.config.control:
            case "random":
                return float(derive_seed(self.seed, "control", row.group, place, row.completion) % 2)
            case "format":
                return float(verdict.well_formed)
            case "wrong_answer":
                return float(verdict.status is Status.WRONG)
            case _:
                return verdict.score

    def _values(self, function: RewardFunction, rows: Sequence[Row]) -> list[Any]:
        """What the function gives for each row. Raises RewardError where it does not return in time."""
        said = partial(self._overdue, function.name)
        # Those that come with the package limit each request that they send.
        limited = not is_built_in(function.settings.reward)
        deadline = Deadline(self.config.deadline, said) if limited else None
        try:
            return function.values(rows, partial(_put_back, function.name), deadline)
        except Overdue:
            raise RewardError(said()) from None

    def _overdue(self, name: str) -> str:
        return (
            f"reward {name}, step {self.step}: a call did not return within {self.config.deadline:g} s "
            f"(rewards.deadline), so the run stops. Saved: {self.saved()}. Mend the function, or raise "
            "rewards.deadline, and give the same command to go on from there."
        )

    def failed(self, problem: Problem, completion: Completion, failure: Failure) -> None:
        """Keeps evidence of an episode whose environment failed. Raises RewardError if `rewards.bad` is
        stop."""
        turn = len(completion.turns)
        about = {"problem": problem.id, "turn": turn, "environment": failure.what}
        self._append({**about, "completion": completion.text})
        if self.config.bad == "stop":
            raise RewardError(
                f"problem {problem.id}, turn {turn}, step {self.step}: the environment failed: "
                f"{failure.what}. The episode is in {self.evidence}. Saved: {self.saved()}. Correct the "
                "environment and give the same command to go on from there, or set rewards.bad=wrong to "
                "score such episodes as wrong."
            )

    def _append(self, kept: Mapping[str, Any]) -> None:
        if self._kept < MOST_EVIDENCE:
            self._kept += 1
            self.evidence.parent.mkdir(exist_ok=True)
            append_jsonl(self.evidence, kept)

    @property
    def by_step(self) -> bool:
        """Whether single steps are paid, so that the task's checker has to mark them."""
        return bool(self.config.right_step or self.config.wrong_step)

    def _reward(self, row: Row, score: float, extra: dict[str, Worth], bad: bool) -> Reward:
        config, verdict = self.config, row.verdict
        if bad:
            verdict, score = replace(verdict, status=Status.WRONG, score=0.0), 0.0
        outcome = config.wrong + score * (config.correct - config.wrong)
        own = {"outcome": outcome * config.turn_discount ** max(0, len(row.turns) - 1)}
        if config.unsound is not None:
            found = verdict.correct and verdict.sound is False
            own["unsound"] = (config.unsound - own["outcome"]) if found else 0.0
        spans = self._steps(row.verdict) if self.by_step else ()
        if self.by_step:
            own["steps"] = sum(span.score for span in spans)
        at_turns: tuple[tuple[float, ...], ...] = ()
        if config.turns and row.turns:
            at_turns = (turn_rewards(row.turns, row.tokens, config.turns, config.turn_discount),)
            own["turns"] = math.fsum(at_turns[0])
        if config.format:
            own["format"] = config.format * verdict.well_formed
        if config.overlong_cache is not None:
            own["overlong"] = overlong_penalty(row.tokens, self.limit, config.overlong_cache)
        for name, value in extra.items():
            own[name] = value.total
            spans += value.spans
        at_tokens = at_turns + tuple(v.tokens for v in extra.values() if v.tokens)
        return Reward(verdict, own, bad, spans, at_tokens)

    def _steps(self, verdict: Verdict) -> tuple[Mark, ...]:
        """The marked steps with what they are worth."""
        least, most = self.config.wrong_step, self.config.right_step
        return tuple(mark._replace(score=least + mark.score * (most - least)) for mark in verdict.marks)

    def _keep_evidence(self, name: str, row: Row, returned: Any) -> None:
        raised = isinstance(returned, Raised)
        kept = {
            "reward": name,
            "problem": row.problem,
            "raised" if raised else "returned": returned.text if raised else reprlib.repr(returned),
            "verdict": row.verdict.status,
            "extracted": row.verdict.extracted,
            "completion": row.completion,
        }
        self._append(kept)
        if self.config.bad == "stop":
            did = f"failed: {kept['raised']}" if raised else f"returned {kept['returned']}"
            raise RewardError(
                f"reward {name}, problem {row.problem}: the function {did}; allowed are numbers that, times "
                f"the weight, lie within {LARGEST:g} of 0: one, one for each of its {row.tokens} tokens, or "
                f"(start, end, number) for parts of its {len(row.completion)} characters. The completion is "
                f"in {self.evidence}. Fix the function and give the same command to go on from the last "
                "checkpoint, or set rewards.bad=wrong to score such completions as wrong."
            )


def _places(rows: Sequence[Row]) -> Iterator[int]:
    """Of each row, how many of its group stand before it."""
    seen: dict[int, int] = defaultdict(int)
    for row in rows:
        yield seen[row.group]
        seen[row.group] += 1


def _put_back(name: str, piece: str) -> None:
    warnings.warn(f"reward {name} changed {piece} of the training process: it was put back", stacklevel=2)


def turn_rewards(
    turns: Sequence[Turn], tokens: int, weight: float = 1.0, discount: float = 1.0
) -> tuple[float, ...]:
    """[tokens]: the reward of each turn at its last token, times weight and discount to the turns before it.

    So the sum of all is the discounted return of the episode, and undiscounted returns to go over these
    give the gradient of that: arXiv 1506.02438, section 2, with a turn as the unit of time.
    """
    paid = [0.0] * tokens
    for i, turn in enumerate(turns):
        paid[turn.end - 1] += weight * discount**i * turn.reward
    return tuple(paid)


def overlong_penalty(length: int, limit: int, cache: int) -> float:
    """0 up to limit - cache tokens, then linearly down to -1 at the limit: arXiv 2503.14476, eq. 13."""
    return -min(1.0, max(0.0, (length - (limit - cache)) / cache))
