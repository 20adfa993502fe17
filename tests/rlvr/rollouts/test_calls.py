"""What a reward function may try: to end the process, to fork it, to hang, to change what it was given."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rlvr.config.schema import ExtraReward, RewardConfig
from rlvr.graders import Mark, Status, Verdict
from rlvr.rollouts.calls import Raised
from rlvr.rollouts.reward_functions import RewardFunction, Row
from rlvr.rollouts.rewards import RewardError, RewardMix

VERDICT = Verdict(Status.CORRECT, 1.0, marks=(Mark(0, 1, 1.0),))
KINDS = ("completion", "row", "group", "batch")


def rows(count: int = 4) -> list[Row]:
    """Two completions of each problem."""
    shared = [{"answer": [3, 4]} for _ in range(count // 2)]
    return [
        Row(f"p{i // 2}", "", "text", 2, False, shared[i // 2], VERDICT, i // 2, {"level": [i // 2]})
        for i in range(count)
    ]


def given(function: Callable[..., Any], takes: str = "row", **settings: Any) -> list[Any]:
    entry = ExtraReward(reward="own:f", takes=takes, **settings)  # type: ignore[arg-type]
    return RewardFunction("f", function, entry).values(rows())


def ends(how: Callable[[int], Any]) -> Callable[[Any], Any]:
    return lambda row: how(0)


@pytest.mark.parametrize(
    "how", [sys.exit, lambda status: os._exit(status), exit], ids=["sys.exit", "os._exit", "exit"]
)
@pytest.mark.parametrize("settings", [{}, {"concurrency": 2}], ids=["here", "threads"])
def test_one_that_ends_the_process_gives_no_number(how: Callable[..., Any], settings: dict[str, Any]) -> None:
    assert given(ends(how), **settings) == [Raised("SystemExit: 0")] * 4


@pytest.mark.parametrize("error", [SystemExit(0), asyncio.CancelledError(), GeneratorExit()])
def test_one_that_is_awaited_does_not_either(error: BaseException) -> None:
    async def ending(row: Row) -> float:
        raise error

    assert given(ending) == [Raised.of(error)] * 4


def test_the_run_ends_typed(tmp_path: Path) -> None:
    function = RewardFunction("f", ends(sys.exit), ExtraReward(reward="own:f", takes="row"))
    with pytest.raises(RewardError, match=r"reward f, problem p0: the function failed: SystemExit: 0"):
        RewardMix(RewardConfig(), [function], 9, tmp_path / "evidence")(rows())


def test_the_persons_own_interrupt_passes() -> None:
    def interrupted(row: Row) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        given(interrupted)


FORKING = """
import os, sys
from rlvr.config.schema import ExtraReward
from rlvr.graders import Status, Verdict
from rlvr.rollouts.reward_functions import RewardFunction, Row

def forking(row):
    child = os.fork()
    if child == 0 and {ends}:
        sys.exit(7)
    return float(child > 0)

row = Row("p", "", "", 1, False, None, Verdict(Status.WRONG, 0.0), 0)
settings = ExtraReward(reward="own:forking", takes="row"{settings})
print(RewardFunction("forking", forking, settings).values([row]), flush=True)
_, status = os.wait()
print("child", os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize("settings", ["", ", concurrency=1"])
@pytest.mark.parametrize(("ends", "status"), [(False, 1), (True, 7)])
def test_what_it_forks_does_not_come_back(ends: bool, status: int, settings: str) -> None:
    program = FORKING.format(ends=ends, settings=settings)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == f"[1.0]\nchild {status}\n"
    assert "forked came back and was ended" in done.stderr


@pytest.mark.parametrize("takes", KINDS)
def test_what_it_is_given_are_copies(takes: str) -> None:
    original = rows()

    def spoiling(*arguments: Any) -> Any:
        found = [arguments[0]] if takes == "row" else arguments[0] if takes in ("group", "batch") else []
        for row in found:
            row.columns["level"].append(9)
            row.columns["new"] = 1
        reference, verdict = (
            arguments[1:] if takes == "completion" else (found[0].reference, found[0].verdict)
        )
        reference["answer"].clear()
        object.__setattr__(verdict, "status", Status.WRONG)
        object.__setattr__(verdict, "score", 0.0)
        return [1.0] * len(found) if takes in ("group", "batch") else float(not reference["answer"])

    entry = ExtraReward(reward="own:f", takes=takes)  # type: ignore[arg-type]
    assert RewardFunction("f", spoiling, entry).values(original) == [1.0] * 4
    assert original == rows() and VERDICT.score == 1.0 and VERDICT.correct


def test_one_call_leaves_nothing_for_the_next() -> None:
    def popping(text: str, reference: dict[str, list[int]], verdict: Verdict, weights: list[float]) -> float:
        return reference["answer"].pop() * weights.pop()

    assert given(popping, "completion", options={"weights": [2.0]}) == [8.0] * 4


def test_what_it_changes_of_the_process_is_put_back_and_said(tmp_path: Path) -> None:
    def careless(row: Row) -> float:
        torch.set_default_dtype(torch.float64)
        os.chdir("/")
        return 1.0

    here = os.getcwd()
    function = RewardFunction("careless", careless, ExtraReward(reward="own:careless", takes="row"))
    with pytest.warns(UserWarning, match="reward careless changed torch's default dtype") as said:
        RewardMix(RewardConfig(), [function], 9, tmp_path / "evidence")(rows())
    assert len(said) == 2 and os.getcwd() == here and torch.get_default_dtype() == torch.float32


def sleeps(row: Row) -> float:
    time.sleep(600)
    return 1.0


def searches(row: Row) -> float:
    return float(re.match("(a|aa)+$", "a" * 60 + "b") is None)


def counts(row: Row) -> float:
    number = 0
    while True:
        number += 1


async def waits(row: Row) -> float:
    await asyncio.sleep(600)
    return 1.0


@pytest.mark.parametrize("hangs", [sleeps, searches, counts, waits])
def test_one_that_hangs_ends_the_run(hangs: Callable[..., Any], tmp_path: Path) -> None:
    function = RewardFunction("slow", hangs, ExtraReward(reward="own:slow", takes="row"))
    mix = RewardMix(RewardConfig(deadline=0.2), [function], 9, tmp_path / "e", lambda: "step_000004 in here")
    mix.step = 5
    with pytest.raises(RewardError, match=r"slow, step 5: .* 0.2 s \(rewards.deadline\).*Saved: step_000004"):
        mix(rows())


def test_many_quick_calls_have_no_deadline_together(tmp_path: Path) -> None:
    function = RewardFunction(
        "f", lambda row: time.sleep(0.1) or 1.0, ExtraReward(reward="own:f", takes="row")
    )
    assert len(RewardMix(RewardConfig(deadline=0.25), [function], 9, tmp_path / "e")(rows(6))) == 6


STUCK = """
import sys, time
from rlvr.rollouts.deadline import Deadline
with Deadline(0.1, lambda: "reward f is stuck", grace=0.1).watching():
    {body}
"""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("while True:\n        try: time.sleep(60)\n        except BaseException: pass", "reward f is stuck"),
        ("sum(range(10**13))", "Timeout"),  # C code that holds the lock and looks for nothing
    ],
    ids=["swallows", "holds"],
)
def test_one_that_nothing_moves_ends_the_process(body: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STUCK.format(body=body)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr
