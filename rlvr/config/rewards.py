"""The section `rewards` of a run's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from rlvr.config.section import Finite, Positive, Section


class ExtraReward(Section):
    """One more component of the reward: your own function, or `judge` or `classifier`."""

    reward: str
    """ "package.module:function"; called in the training process, plain or async. Or a built-in one, see
    docs/plugins.md: judge, classifier."""
    takes: Literal["completion", "row", "group", "batch"] = "completion"
    """completion: (text, reference, verdict) -> number. row: a `Row` of rlvr.rollouts.reward_functions ->
    number. group, batch: a list of rows -> as many. For a number also: one a token, or spans of the text."""
    weight: Finite = 1.0
    """The numbers are multiplied by it."""
    options: Mapping[str, Any] = {}
    """Keyword arguments of the function."""
    concurrency: Positive | None = None
    """Calls at once, in threads if it is not async; null: 64 if it is async, else one after another."""
    timeout: Annotated[float, Field(gt=0)] | None = None
    """Seconds that a call may take; later it counts as one that raised."""


class RewardConfig(Section):
    """What a completion is worth: a sum, each of its components logged as reward/<name>."""

    correct: Finite = 1.0
    """For a correct answer."""
    wrong: Finite = 0.0
    """For a wrong answer, and for an unparsed or timed-out completion."""
    unsound: Finite | None = None
    """For a right answer whose chain the task's checker finds wrong; null is as `correct`."""
    right_step: Finite = 0.0
    """For each step that the task's checker finds right; paid where it ends by `algorithm.credit=steps`."""
    wrong_step: Finite = 0.0
    """For each that it finds wrong."""
    turns: Finite = 0.0
    """Of an episode: times what its environment gives for a turn, paid at the turn's end."""
    turn_discount: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of an episode: what is given at its n-th turn, the outcome at its last, is worth this to the n-1."""
    format: Finite = 0.0
    """For an answer where the prompt asks for it, right or wrong."""
    overlong_cache: Positive | None = None
    """Tokens before the limit that cost up to 1, a cut completion costs 1 (arXiv 2503.14476, eq. 13)."""
    control: Literal["random", "format", "wrong_answer", "shuffled"] | None = None
    """For experiments, in the verdict's place: a coin; whether an answer is where the prompt asks for it;
    whether it is wrong; the verdict by another problem's reference. Results are marked with it."""
    extra: tuple[ExtraReward, ...] = ()
    """More components."""
    deadline: Annotated[float, Field(gt=0)] = 1800.0
    """Seconds that one call of a function of `extra` may take; later the run stops."""
    bad: Literal["stop", "wrong"] = "stop"
    """Where a function of `extra` raises or returns no finite number, or an environment fails: stop, or
    count as wrong."""
