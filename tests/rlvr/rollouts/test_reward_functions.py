"""Reward functions: one by one, by group or all at once, plain or async, with limits on time and number."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from rlvr.config.schema import ExtraReward
from rlvr.graders import Status, Verdict
from rlvr.rollouts.reward_functions import Raised, RewardFunction, Row, copied

RIGHT = Verdict(Status.CORRECT, 1.0, "7")
WORDS = ("a", "bbb", "cc", "dddd", "e", "ff")
ROWS = [Row("p", "prompt", w, len(w), False, 3, RIGHT, i // 2, {"level": i}) for i, w in enumerate(WORDS)]


def values(function: Callable[..., Any], takes: str, **settings: Any) -> list[Any]:
    entry = ExtraReward(reward="mine:function", takes=takes, **settings)  # type: ignore[arg-type]
    return RewardFunction("function", function, entry).values(ROWS)


def share_of_longest(rows: Sequence[Row], power: float = 1.0) -> list[float]:
    longest = max(row.tokens for row in rows)
    return [(row.tokens / longest) ** power for row in rows]


async def slowest_first(row: Row) -> float:
    await asyncio.sleep(0.02 * (6 - row.columns["level"]) / 6)
    return float(row.columns["level"])


def test_a_function_sees_a_completion_a_row_a_group_or_the_batch() -> None:
    lengths = [1.0, 3.0, 2.0, 4.0, 1.0, 2.0]
    assert values(lambda text, reference, verdict: len(text) * verdict.score, "completion") == lengths
    assert values(lambda row: row.tokens, "row") == lengths
    assert values(share_of_longest, "group") == [1 / 3, 1, 0.5, 1, 0.5, 1]
    assert values(share_of_longest, "batch") == [0.25, 0.75, 0.5, 1, 0.25, 0.5]
    assert values(share_of_longest, "group", options={"power": 2.0})[:2] == [1 / 9, 1]


@pytest.mark.parametrize("settings", [{}, {"concurrency": 3}, {"concurrency": 1, "timeout": 5.0}])
def test_async_functions_and_threads_give_each_row_its_own_value(settings: dict[str, Any]) -> None:
    assert values(slowest_first, "row", **settings) == [0, 1, 2, 3, 4, 5]

    def blocking(row: Row) -> float:
        time.sleep(0.002 * (6 - row.columns["level"]))
        return float(row.columns["level"])

    assert values(blocking, "row", **settings) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(("settings", "most"), [({}, 6), ({"concurrency": 2}, 2)])
def test_no_more_calls_run_at_once_than_allowed(settings: dict[str, Any], most: int) -> None:
    running: list[int] = [0, 0]

    async def counting(row: Row) -> float:
        running[0] += 1
        running[1] = max(running)
        await asyncio.sleep(0.01)
        running[0] -= 1
        return 1.0

    assert values(counting, "row", **settings) == [1.0] * 6
    assert running[1] == most


def test_without_a_limit_a_plain_function_runs_in_the_calling_thread() -> None:
    """Libraries with time limits of their own use signals, which only the main thread gets."""
    seen = []
    values(lambda row: seen.append(threading.current_thread()) or 1.0, "row")  # type: ignore[func-returns-value]
    assert set(seen) == {threading.main_thread()}


@pytest.mark.parametrize("awaits", [True, False])
def test_a_call_that_takes_too_long_has_no_value_and_holds_nobody_up(awaits: bool) -> None:
    never = threading.Event()

    async def hanging(row: Row) -> float:
        if row.completion == "cc":
            await asyncio.sleep(60)
        return 1.0

    def blocking(row: Row) -> float:
        if row.completion == "cc":
            never.wait(60)
        return 1.0

    given = values(hanging if awaits else blocking, "row", timeout=0.2, concurrency=6)
    assert given == [1.0, 1.0, Raised("TimeoutError: no answer in 0.2 s"), 1.0, 1.0, 1.0]
    never.set()


def test_one_row_that_raises_costs_the_others_nothing() -> None:
    def dividing(row: Row) -> float:
        return 1 / (row.tokens - 3)

    async def dividing_async(row: Row) -> float:
        return dividing(row)

    for function in (dividing, dividing_async):
        given = values(function, "row")
        assert given[1] == Raised("ZeroDivisionError: float division by zero") or "division" in given[1].text
        assert given[:1] + given[2:] == [-0.5, -1.0, 1.0, -0.5, -1.0]


@pytest.mark.parametrize("returned", [np.arange(6.0), torch.arange(6.0), tuple(range(6)), list(range(6))])
def test_what_a_batch_may_return(returned: Any) -> None:
    assert values(lambda rows: returned, "batch") == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ([1.0] * 5, "returned 5 values for 6 completions"),
        (1.0, "returned float, not a list of 6 numbers"),
        (None, "returned NoneType, not a list"),
        ("123456", "returned str, not a list"),
        (torch.tensor(1.0), "returned float, not a list"),
    ],
)
def test_what_no_batch_may_return(returned: Any, said: str) -> None:
    given = values(lambda rows: returned, "batch")
    assert len(given) == 6 and all(isinstance(v, Raised) and said in v.text for v in given)


def test_a_group_that_raises_is_the_only_one_without_values() -> None:
    def group(rows: Sequence[Row]) -> list[float]:
        if rows[0].completion == "cc":
            raise RuntimeError("no answer from the judge")
        return [1.0] * len(rows)

    lost = Raised("RuntimeError: no answer from the judge")
    assert values(group, "group") == [1.0, 1.0, lost, lost, 1.0, 1.0]


def test_what_a_function_changes_is_a_copy() -> None:
    reference, columns = {"answer": [3]}, {"level": [1]}
    given_reference, given_columns = copied(reference, columns)
    given_reference["answer"].append(4)
    given_columns["level"].clear()
    assert (reference, columns) == ({"answer": [3]}, {"level": [1]})
