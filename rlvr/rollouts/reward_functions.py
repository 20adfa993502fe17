"""Reward functions of the user's own: what they are given, how they are called, what counts as a number."""

from __future__ import annotations

import asyncio
import copy
import inspect
import math
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import ValidationError

from rlvr.config.errors import ConfigError, Mistake, of_error
from rlvr.config.registry import PluginError, builder, family, load, schema, variant
from rlvr.config.schema import ExtraReward, RewardConfig
from rlvr.graders import Mark, Verdict
from rlvr.graders.soundness.marks import finite, spans_of

# name -> "module:class" of what comes with the package; its fields are the keys of `options`
REWARDS = {
    "judge": "rlvr.rollouts.judge_reward:JudgeReward",
    "classifier": "rlvr.rollouts.classifier_reward:ClassifierReward",
}
OWN_NAMES = ("outcome", "unsound", "steps", "format", "overlong", "bad")
# Beyond this the variance of a group has no place in single precision.
LARGEST = 1e6
# Calls of an async function at once, where the configuration says nothing.
CONCURRENCY = 64


@dataclass(frozen=True, slots=True)
class Row:
    """One completion, as a reward function is given it.

    problem: its id. reference, columns: copies of the problem's own; columns is the row of data that it
    came from. tokens: of the completion. truncated: whether it was cut at the limit. group: equal for the
    completions of one problem, and different from those of any other. logprob: of the completion under the
    policy that drew it, summed over its tokens. token_ids: of the completion.
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

    def values(self, rows: Sequence[Row]) -> list[Any]:
        """What it gives for each row, in order: whatever it returned, or a `Raised`."""
        calls = _parts(self.settings.takes, rows)
        returned = _call_all(self.call, [arguments for arguments, _ in calls], self.settings)
        values: list[Any] = []
        for found, (_, count) in zip(returned, calls, strict=True):
            values += _one_each(found, count) if self.settings.takes in ("group", "batch") else [found]
        return values


@dataclass(frozen=True, slots=True)
class Raised:
    """In place of a value: what a function raised, or why there is none."""

    text: str


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


def _parts(takes: str, rows: Sequence[Row]) -> list[tuple[tuple[Any, ...], int]]:
    """The arguments of every call, and how many rows each is about."""
    if takes == "completion":
        return [((row.completion, row.reference, row.verdict), 1) for row in rows]
    if takes == "row":
        return [((row,), 1) for row in rows]
    if takes == "batch":
        return [((list(rows),), len(rows))] if rows else []
    groups: dict[int, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    if [row for group in groups.values() for row in group] != list(rows):
        raise ValueError("the rows of a group have to stand together")
    return [((group,), len(group)) for group in groups.values()]


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


def _call_all(
    function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], settings: ExtraReward
) -> list[Any]:
    """What each call returned, in order.

    An async function's calls overlap. Others run in this thread one by one, as libraries that rely on
    signals need it, unless a limit on their number or time asks for threads.
    """
    awaits = inspect.iscoroutinefunction(inspect.unwrap(function)) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004
    )
    if not awaits and settings.concurrency is None and settings.timeout is None:
        return [_guarded(function, arguments, settings.options) for arguments in calls]

    async def all_of_them() -> list[Any]:
        slots = asyncio.Semaphore(settings.concurrency or (CONCURRENCY if awaits else 1))

        async def one(arguments: tuple[Any, ...]) -> Any:
            async with slots:
                work = function if awaits else _in_a_thread(function)
                return await _timed(work, arguments, settings)

        return await asyncio.gather(*map(one, calls))

    return asyncio.run(all_of_them())


def _guarded(function: Callable[..., Any], arguments: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
    try:
        return function(*arguments, **options)
    except Exception as error:  # the function is not ours
        return Raised(f"{type(error).__name__}: {error}")


async def _timed(
    function: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...], settings: ExtraReward
) -> Any:
    try:
        return await asyncio.wait_for(function(*arguments, **settings.options), settings.timeout)
    except TimeoutError:
        limit = "" if settings.timeout is None else f": no answer in {settings.timeout:g} s"
        return Raised(f"TimeoutError{limit}")
    except Exception as error:  # the function is not ours
        return Raised(f"{type(error).__name__}: {error}")


def _in_a_thread(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """The function as an async one. Its thread is a daemon: one that hangs keeps no process alive."""

    async def work(*arguments: Any, **options: Any) -> Any:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()

        def settle(value: Any) -> None:
            if not done.done():
                done.set_result(value)

        def run() -> None:
            value = _guarded(function, arguments, options)
            try:
                loop.call_soon_threadsafe(settle, value)
            except RuntimeError:  # the loop is closed: it came too late
                return

        threading.Thread(target=run, daemon=True).start()
        return await done

    return work


def copied(reference: Any, columns: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """Copies for reward functions, so that what one changes is no grader's reference."""
    return copy.deepcopy(reference), copy.deepcopy(dict(columns))
