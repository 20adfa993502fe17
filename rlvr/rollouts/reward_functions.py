"""Reward functions of the user's own: what they are given, how they are called, what counts as a number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

from pydantic import ValidationError

from rlvr.config.errors import ConfigError, Mistake, of_error
from rlvr.config.registry import PluginError, builder, family, load, schema, variant
from rlvr.config.schema import ExtraReward, RewardConfig
from rlvr.engines import Completion, Turn
from rlvr.graders import Mark, Verdict
from rlvr.graders.soundness.marks import finite, spans_of
from rlvr.rollouts.calls import Arguments, Raised, call_all, own_copy
from rlvr.rollouts.deadline import Deadline
from rlvr.tasks import Problem

# name -> "module:class" of what comes with the package; its fields are the keys of `options`
REWARDS = {
    "judge": "rlvr.rollouts.judge_reward:JudgeReward",
    "classifier": "rlvr.rollouts.classifier_reward:ClassifierReward",
}
OWN_NAMES = ("outcome", "turns", "unsound", "steps", "format", "overlong", "bad")
# Beyond this the variance of a group has no place in single precision.
LARGEST = 1e6


@dataclass(frozen=True, slots=True)
class Row:
    """One completion, as a reward function is given it.

    A function is given copies: what it changes is nobody else's.

    problem: its id. columns: the row of data that it came from. tokens: of the completion. truncated:
    whether it was cut at the limit. group: equal for the completions of one problem, and different from
    those of any other. logprob: of the completion under the policy that drew it, summed over its tokens.
    token_ids: of the completion. turns: of an episode. failed: whether its environment failed.
    """

    problem: str
    prompt: str
    completion: str
    tokens: int
    truncated: bool
    reference: Any
    verdict: Verdict
    group: int
    columns: Mapping[str, Any] = field(default_factory=dict)
    logprob: float = 0.0
    token_ids: tuple[int, ...] = ()
    turns: tuple[Turn, ...] = ()
    failed: bool = False

    @classmethod
    def of(
        cls, completion: Completion, verdict: Verdict, problem: Problem, group: int, summed: bool = True
    ) -> Row:
        """summed: whether somebody looks at the log-prob of the whole."""
        return cls(
            problem=problem.id,
            prompt=problem.prompt,
            completion=completion.text,
            tokens=len(completion.token_ids),
            truncated=completion.finish_reason == "length",
            reference=problem.reference,
            verdict=verdict,
            group=group,
            columns=problem.columns,
            logprob=sum(completion.logprobs) if summed else 0.0,
            token_ids=completion.token_ids,
            turns=completion.turns,
            failed=completion.failed,
        )

    def given(self, shared: tuple[Any, Mapping[str, Any]] | None = None) -> Row:
        """With copies of all that a function could change. shared: those of reference and columns."""
        reference, columns = shared or copied(self.reference, self.columns)
        return replace(self, reference=reference, columns=columns, verdict=own_copy(self.verdict))


class Worth(NamedTuple):
    """What a function gave for one completion, times its weight. total: of all.

    tokens: where it gave one number a token, these. spans: where it gave spans of the text, these.
    """

    total: float
    tokens: tuple[float, ...] = ()
    spans: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class RewardFunction:
    """A function with how it is called. name: its component's."""

    name: str
    call: Callable[..., Any]
    settings: ExtraReward

    def values(
        self,
        rows: Sequence[Row],
        changed: Callable[[str], None] = lambda piece: None,
        deadline: Deadline | None = None,
    ) -> list[Any]:
        """What it gives for each row, in order: whatever it returned, or a `Raised`.

        changed, deadline: see `rlvr.rollouts.calls.call_all`.
        """
        calls = _parts(self.settings.takes, rows)
        arguments = [arguments for arguments, _ in calls]
        returned = call_all(self.call, arguments, self.settings, changed, deadline)
        values: list[Any] = []
        for found, (_, count) in zip(returned, calls, strict=True):
            values += _one_each(found, count) if self.settings.takes in ("group", "batch") else [found]
        return values


def load_functions(config: RewardConfig) -> list[RewardFunction]:
    """The functions that `rewards.extra` names, in order. Raises ConfigError with every mistake."""
    functions: list[RewardFunction] = []
    mistakes = []
    for i, entry in enumerate(config.extra):
        name = entry.reward.rpartition(":")[2]
        if found := option_mistakes(entry, f"rewards.extra[{i}]"):
            mistakes += found
            continue
        try:
            function = _built_in(entry) if is_built_in(entry.reward) else load(entry.reward)
            if not callable(function):
                raise ValueError(f"{name} is not a function")
            if name in OWN_NAMES or any(name == other.name for other in functions):
                raise ValueError(f"there is already a reward of the name {name}")
            if is_built_in(entry.reward):
                entry = entry.model_copy(update={"takes": "batch", "options": {}})
            functions.append(RewardFunction(name, function, entry))
        except (PluginError, ValueError) as error:
            advice = f"not a function package.module:function that can be used: {error}"
            mistakes.append(Mistake(f"rewards.extra[{i}].reward", entry.reward, advice))
    if mistakes:
        raise ConfigError("rewards", mistakes)
    return functions


def is_built_in(reward: str) -> bool:
    """Whether `rewards.extra` names one that comes with the package: judge, or judge:NAME_OF_COMPONENT."""
    return family(reward) in REWARDS


def option_mistakes(entry: ExtraReward, where: str) -> list[Mistake]:
    """What is wrong with the options of a built-in reward; nothing is known of those of other functions."""
    if not is_built_in(entry.reward):
        return []
    model = schema(REWARDS, entry.reward)
    try:
        model.model_validate(_options(entry))
    except ValidationError as error:
        known = [f"{where}.options.{key}" for key in model.model_fields]
        return [of_error(e, known, f"{where}.options.") for e in error.errors()]
    return []


def _built_in(entry: ExtraReward) -> Callable[..., Any]:
    return builder(REWARDS, entry.reward)(**_options(entry))


def _options(entry: ExtraReward) -> dict[str, Any]:
    named = variant(entry.reward)
    return {**entry.options, **({"variant": named} if named else {})}


def worth(returned: Any, weight: float, row: Row) -> Worth | None:
    """weight times what a reward function returned for the row; None where that is of no use: neither a
    number, nor as many numbers as the completion has tokens, nor a list of (start, end, number), spans of
    its text."""
    if (total := _number(returned, weight)) is not None:
        return Worth(total)
    if isinstance(made := getattr(returned, "tolist", lambda: returned)(), list):  # an array or a tensor
        returned = made
    if not isinstance(returned, Sequence) or isinstance(returned, str):
        return None
    spans = spans_of(returned, len(row.completion)) or ()
    given = [_number(one.score if spans else one, weight) for one in spans or returned]
    numbers = tuple(one for one in given if one is not None)
    total = _number(math.fsum(numbers), 1.0)
    if total is None or len(numbers) < len(given) or not (spans or len(given) in (0, row.tokens)):
        return None
    if not spans:
        return Worth(total, tokens=numbers)
    return Worth(total, spans=tuple(s._replace(score=n) for s, n in zip(spans, numbers, strict=True)))


def _number(value: Any, weight: float) -> float | None:
    """weight times a number; None where that is no usable number."""
    found = finite(value)
    found = None if found is None else finite(weight * found)
    return found if found is not None and abs(found) <= LARGEST else None


def _parts(takes: str, rows: Sequence[Row]) -> list[tuple[Arguments, int]]:
    """What makes the arguments of every call, copies, and how many rows each is about."""
    if takes == "completion":
        return [(partial(_of_completion, row), 1) for row in rows]
    if takes == "row":
        return [(partial(lambda row: (row.given(),), row), 1) for row in rows]
    if takes == "batch":
        return [(partial(_together, rows), len(rows))] if rows else []
    groups: dict[int, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    if [row for group in groups.values() for row in group] != list(rows):
        raise ValueError("the rows of a group have to stand together")
    return [(partial(_together, group), len(group)) for group in groups.values()]


def _of_completion(row: Row) -> tuple[Any, ...]:
    given = row.given()
    return given.completion, given.reference, given.verdict


def _together(rows: Sequence[Row]) -> tuple[list[Row]]:
    """The completions of a problem share the copies of what is its own, which may be large."""
    shared: dict[int, tuple[Any, Mapping[str, Any]]] = {}
    for row in rows:
        if row.group not in shared:
            shared[row.group] = copied(row.reference, row.columns)
    return ([row.given(shared[row.group]) for row in rows],)


def copied(reference: Any, columns: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """Copies for reward functions, so that what one changes is no grader's reference."""
    return own_copy(reference), own_copy(dict(columns))


def _one_each(returned: Any, count: int) -> list[Any]:
    """A value for each of `count` rows, from what one call about all of them returned."""
    if isinstance(returned, Raised):
        return [returned] * count
    if hasattr(returned, "tolist"):  # an array or a tensor
        returned = returned.tolist()
    if not isinstance(returned, Sequence) or isinstance(returned, str):
        return [Raised(f"it returned {type(returned).__name__}, not a list of {count} numbers")] * count
    if len(returned) != count:
        return [Raised(f"it returned {len(returned)} values for {count} completions")] * count
    return list(returned)
