"""Rewards: what a completion is worth, a sum of components that are logged one by one.

outcome: the verdict's score between `rewards.wrong` and `rewards.correct`. unsound: what a right answer with
a wrong step is worth less, where `rewards.unsound` says so. format: for an answer that
stands where the prompt asks for it. overlong: DAPO's penalty on the last tokens before the limit. After
these, the functions of `rewards.extra`, each under its own name and times its weight.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any

from rlvr.config.errors import ConfigError, Mistake
from rlvr.config.registry import PluginError, load
from rlvr.config.schema import RewardConfig
from rlvr.core.errors import UserError
from rlvr.core.run_dir import append_jsonl
from rlvr.graders import Status, Verdict

# (completion, reference, verdict) -> a number
RewardFunction = Callable[[str, Any, Verdict], float]

OWN_NAMES = ("outcome", "unsound", "format", "overlong", "bad")
# Beyond this the variance of a group has no place in single precision.
LARGEST = 1e6
MOST_EVIDENCE = 1000


class RewardError(UserError):
    """A reward function gave no number; the message names it and where the evidence lies."""


@dataclass(frozen=True, slots=True)
class Reward:
    """The reward of one completion.

    verdict: the grader's, or wrong where a reward function gave no number.
    components: what each adds, weights included. bad: whether a reward function gave no number.
    """

    verdict: Verdict
    components: Mapping[str, float]
    bad: bool = False

    @property
    def total(self) -> float:
        return sum(self.components.values())


class RewardMix:
    """Adds up the components.

    limit: the most tokens of a completion. functions: as `load_functions` gives them. evidence: the file
    that gets a line for each time a function gave no number, the first thousand of them.
    """

    def __init__(
        self, config: RewardConfig, functions: Mapping[str, RewardFunction], limit: int, evidence: Path
    ):
        self.config = config
        self.functions = functions
        self.limit = limit
        self.evidence = evidence
        self._kept = 0

    def __call__(
        self, problem: str, completion: str, length: int, reference: Any, verdict: Verdict
    ) -> Reward:
        """problem: its id. length: the completion's tokens. Raises RewardError if `rewards.bad` is stop."""
        config = self.config
        extra: dict[str, float] = {}
        bad = False
        for (name, function), settings in zip(self.functions.items(), config.extra, strict=True):
            returned = _call(function, completion, reference, verdict)
            value = _number(returned, settings.weight)
            extra[name] = value or 0.0
            if value is None:
                bad = True
                self._keep_evidence(name, problem, completion, verdict, returned)
        if bad:
            verdict = replace(verdict, status=Status.WRONG, score=0.0)
        own = {"outcome": config.wrong + verdict.score * (config.correct - config.wrong)}
        if config.unsound is not None:
            found = verdict.correct and verdict.sound is False
            own["unsound"] = (config.unsound - own["outcome"]) if found else 0.0
        if config.format:
            own["format"] = config.format * verdict.well_formed
        if config.overlong_cache is not None:
            own["overlong"] = overlong_penalty(length, self.limit, config.overlong_cache)
        return Reward(verdict, own | extra, bad)

    def _keep_evidence(
        self, name: str, problem: str, completion: str, verdict: Verdict, returned: Any
    ) -> None:
        raised = isinstance(returned, _Raised)
        row = {
            "reward": name,
            "problem": problem,
            "raised" if raised else "returned": returned.text if raised else reprlib.repr(returned),
            "verdict": verdict.status,
            "extracted": verdict.extracted,
            "completion": completion,
        }
        if self._kept < MOST_EVIDENCE:
            self._kept += 1
            self.evidence.parent.mkdir(exist_ok=True)
            append_jsonl(self.evidence, row)
        if self.config.bad == "stop":
            did = f"raised {row['raised']}" if raised else f"returned {row['returned']}"
            raise RewardError(
                f"reward {name}, problem {problem}: the function {did}; allowed are numbers that, times the "
                f"weight, lie within {LARGEST:g} of 0. The completion lies in {self.evidence}. Fix the "
                "function and give the same command to go on from the last checkpoint, or set "
                "rewards.bad=wrong to score such completions as wrong."
            )


def load_functions(config: RewardConfig) -> dict[str, RewardFunction]:
    """The functions that `rewards.extra` names, by their own names, in order. Raises ConfigError."""
    functions: dict[str, RewardFunction] = {}
    mistakes = []
    for i, entry in enumerate(config.extra):
        name = entry.reward.rpartition(":")[2]
        try:
            function = load(entry.reward)
            if not callable(function):
                raise ValueError(f"{name} is not a function")
            if name in functions or name in OWN_NAMES:
                raise ValueError(f"there is already a reward of the name {name}")
            functions[name] = function
        except (PluginError, ValueError) as error:
            advice = f"not a function package.module:function that can be used: {error}"
            mistakes.append(Mistake(f"rewards.extra[{i}].reward", entry.reward, advice))
    if mistakes:
        raise ConfigError("rewards", mistakes)
    return functions


def overlong_penalty(length: int, limit: int, cache: int) -> float:
    """0 up to limit - cache tokens, then linearly down to -1 at the limit: arXiv 2503.14476, eq. 13."""
    return -min(1.0, max(0.0, (length - (limit - cache)) / cache))


@dataclass(frozen=True, slots=True)
class _Raised:
    text: str


def _call(function: RewardFunction, completion: str, reference: Any, verdict: Verdict) -> Any:
    """What the function returned, whatever that is, or _Raised."""
    try:
        return function(completion, reference, verdict)
    except Exception as error:  # the function is not ours
        return _Raised(f"{type(error).__name__}: {error}")


def _number(returned: Any, weight: float) -> float | None:
    """weight times what a reward function returned; None where that is no usable number."""
    if isinstance(returned, bool) or not isinstance(returned, Real):
        return None
    try:
        value = weight * float(returned)
    except (OverflowError, ValueError):
        return None
    return value if math.isfinite(value) and abs(value) <= LARGEST else None
