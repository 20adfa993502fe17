"""Rewards: components that add up, and reward functions that give no number, which train nothing."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from rlvr.config.errors import ConfigError
from rlvr.config.schema import ExtraReward, RewardConfig
from rlvr.core.run_dir import read_jsonl
from rlvr.graders import Mark, Status, Verdict
from rlvr.rollouts.reward_functions import RewardFunction, Row, load_functions
from rlvr.rollouts.rewards import Reward, RewardError, RewardMix

RIGHT = Verdict(Status.CORRECT, 1.0, "7")


def raising(completion: str, reference: Any, verdict: Verdict) -> float:
    return 1 / 0


def giving(value: Any) -> Callable[..., Any]:
    return lambda completion, reference, verdict: value


def mix(path: Path, functions: dict[str, Any], weights: Sequence[float] = (), **config: Any) -> RewardMix:
    extra = [
        RewardFunction(name, call, ExtraReward(reward=f"toys:{name}", weight=weights[i] if weights else 1.0))
        for i, (name, call) in enumerate(functions.items())
    ]
    return RewardMix(RewardConfig(**config), extra, 20, path / "evidence" / "rewards.jsonl")


def row(completion: str, tokens: int, reference: Any, verdict: Verdict, group: int = 0) -> Row:
    return Row("p7", "prompt", completion, tokens, False, reference, verdict, group)


def one(rewards: RewardMix, *of: Any) -> Reward:
    (reward,) = rewards([row(*of)])
    return reward


@pytest.mark.parametrize(
    ("correct", "length", "cache", "reward"),
    [
        (True, 20, None, 1.0),
        (False, 5, None, -1.0),
        (True, 12, 8, 1.0),
        (True, 16, 8, 0.5),
        (False, 20, 8, -2.0),
    ],
)
def test_outcome_and_length(
    correct: bool, length: int, cache: int | None, reward: float, tmp_path: Path
) -> None:
    verdict = Verdict(Status.CORRECT if correct else Status.UNPARSED, float(correct))
    rewards = mix(tmp_path, {}, wrong=-1.0, overlong_cache=cache)
    assert one(rewards, "", length, None, verdict).total == reward


def test_components_add_up_each_with_its_weight(tmp_path: Path) -> None:
    def brevity(completion: str, reference: int, verdict: Verdict) -> float:
        return reference / len(completion) + verdict.correct

    rewards = mix(tmp_path, {"brevity": brevity}, [0.5], format=0.25, wrong=-1.0, overlong_cache=8)
    reward = one(rewards, "abcd", 16, 2, RIGHT)
    assert reward.components == {"outcome": 1.0, "format": 0.25, "overlong": -0.5, "brevity": 0.75}
    assert reward.total == 1.5
    partial = Verdict(Status.WRONG, 0.5, "8")
    assert one(rewards, "abcd", 5, 2, partial).components == {
        "outcome": 0.0, "format": 0.25, "overlong": -0.0, "brevity": 0.25,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("verdict", "worth"),
    [
        (RIGHT, 0.25),
        (Verdict(Status.WRONG, 0.0, "8"), 0.25),
        (Verdict(Status.TIMED_OUT, 0.0, "2^{2^{40}}"), 0.25),
        (Verdict(Status.UNPARSED, 0.0), 0.0),
        (replace(RIGHT, misplaced=True), 0.0),
    ],
)
def test_format_is_for_an_answer_in_its_place(verdict: Verdict, worth: float, tmp_path: Path) -> None:
    assert one(mix(tmp_path, {}, format=0.25), "", 5, None, verdict).components["format"] == worth


@pytest.mark.parametrize("value", [2, 0.5, np.float32(0.5), np.int64(3), -1e6])
def test_what_is_a_number(value: Any, tmp_path: Path) -> None:
    reward = one(mix(tmp_path, {"own": giving(value)}), "", 5, None, RIGHT)
    assert reward.components["own"] == float(value) and not reward.bad


BAD = {
    "nan": giving(math.nan),
    "inf": giving(-math.inf),
    "none": giving(None),
    "string": giving("1.0"),
    "bool": giving(True),
    "list": giving([1.0]),
    "complex": giving(1j),
    "numpy_bool": giving(np.True_),
    "numpy_nan": giving(np.float32("nan")),
    "huge_int": giving(10**400),
    "too_large": giving(1e39),  # infinite in single precision
    "raises": raising,
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_number_counts_as_wrong_or_stops(name: str, tmp_path: Path) -> None:
    functions = {"fine": giving(0.5), name: BAD[name]}
    reward = one(mix(tmp_path, functions, bad="wrong", wrong=-1.0), "text", 5, None, RIGHT)
    assert reward.bad and reward.total == -0.5
    assert reward.components == {"outcome": -1.0, "fine": 0.5, name: 0.0}
    assert (reward.verdict.status, reward.verdict.score, reward.verdict.extracted) == (Status.WRONG, 0.0, "7")
    with pytest.raises(RewardError, match=rf"reward {name}, problem p7: .*rewards\.jsonl"):
        one(mix(tmp_path, functions), "text", 5, None, RIGHT)
    rows = read_jsonl(tmp_path / "evidence" / "rewards.jsonl")
    assert len(rows) == 2 and rows[0] == rows[1]
    assert (rows[0]["problem"], rows[0]["completion"], rows[0]["verdict"]) == ("p7", "text", "correct")
    said = rows[0]["raised" if name == "raises" else "returned"]
    assert "ZeroDivisionError" in said if name == "raises" else said


def test_functions_come_by_name_and_every_wrong_one_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("my_rewards")
    module.brevity, module.format, module.number = giving(1.0), giving(1.0), 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_rewards", module)
    fine = RewardConfig(extra=[ExtraReward(reward="my_rewards:brevity", weight=0.1)])
    (loaded,) = load_functions(fine)
    assert (loaded.name, loaded.call) == ("brevity", module.brevity)
    names = ["brevity", "brevity", "format", "number", "absent"]
    wrong = [*(f"my_rewards:{name}" for name in names), "no_such_module:f", "none"]
    with pytest.raises(ConfigError) as caught:
        load_functions(RewardConfig(extra=[ExtraReward(reward=path) for path in wrong]))
    assert [m.key for m in caught.value.mistakes] == [f"rewards.extra[{i}].reward" for i in range(1, 7)]


@pytest.mark.parametrize(
    ("status", "sound", "unsound", "total"),
    [
        (Status.CORRECT, False, 0.25, 0.25),
        (Status.CORRECT, False, None, 1.0),
        (Status.CORRECT, True, 0.25, 1.0),
        (Status.CORRECT, None, 0.25, 1.0),  # undecided is as sound
        (Status.WRONG, False, 0.25, -1.0),
        (Status.WRONG, True, 0.25, -1.0),
    ],
)
def test_a_right_answer_after_a_wrong_step_is_worth_what_it_is_said_to(
    status: Status, sound: bool | None, unsound: float | None, total: float, tmp_path: Path
) -> None:
    verdict = Verdict(status, float(status is Status.CORRECT), sound=sound)
    reward = one(mix(tmp_path, {}, wrong=-1.0, unsound=unsound), "", 5, None, verdict)
    assert reward.total == total
    assert ("unsound" in reward.components) == (unsound is not None)


STEPS = (Mark(0, 4, 1.0), Mark(5, 9, 0.0), Mark(10, 12, 0.5))


@pytest.mark.parametrize(
    ("right", "wrong", "spans"),
    [
        (0.0, -1.0, [(0, 4, 0.0), (5, 9, -1.0), (10, 12, -0.5)]),
        (0.5, -1.0, [(0, 4, 0.5), (5, 9, -1.0), (10, 12, -0.25)]),
        (0.0, 0.0, []),
    ],
)
def test_steps_are_paid_between_wrong_and_right(
    right: float, wrong: float, spans: list[tuple[int, int, float]], tmp_path: Path
) -> None:
    rewards = mix(tmp_path, {}, right_step=right, wrong_step=wrong)
    reward = one(rewards, "1+1=2\n2+2=5", 12, None, replace(RIGHT, marks=STEPS))
    assert [tuple(span) for span in reward.spans] == spans and rewards.by_step == bool(spans)
    assert reward.components.get("steps", 0.0) == sum(worth for _, _, worth in spans)
    assert reward.total == 1.0 + sum(worth for _, _, worth in spans)


@pytest.mark.parametrize(
    ("returned", "tokens", "spans"),
    [
        ([0.5, 0, -1], (1.0, 0.0, -2.0), ()),
        ((0.5, 0.5, 0.5), (1.0, 1.0, 1.0), ()),
        (np.array([0.5, 0.0, -1.0], dtype=np.float32), (1.0, 0.0, -2.0), ()),
        ([(0, 2, 0.5), (2, 5, -1)], (), (Mark(0, 2, 1.0), Mark(2, 5, -2.0))),
        ([Mark(4, 5, 0.25)], (), (Mark(4, 5, 0.5),)),
        (np.array([[0, 2, 1]]), (), (Mark(0, 2, 2.0),)),
        ([], (), ()),
    ],
    ids=str,
)
def test_a_function_gives_a_number_for_each_token_or_span(
    returned: Any, tokens: tuple[float, ...], spans: tuple[Mark, ...], tmp_path: Path
) -> None:
    reward = one(mix(tmp_path, {"own": giving(returned)}, [2.0]), "abcde", 3, None, RIGHT)
    assert not reward.bad and reward.spans == spans
    assert reward.tokens == ((tokens,) if tokens else ())
    assert reward.components["own"] == sum(tokens) + sum(span.score for span in spans)


@pytest.mark.parametrize(
    "returned",
    [
        [0.5, 0.5],  # the completion has three tokens
        [0.5, None, 0.5],
        [0.5, math.nan, 0.5],
        [9e5, 9e5, 9e5],  # the sum is too large
        [True, False, True],
        "abc",
        [(0, 2)],
        [(0, 6, 1.0)],  # the text has five characters
        [(2, 2, 1.0)],
        [(-1, 2, 1.0)],
        [(0.0, 2.0, 1.0)],
        [(0, 2, math.inf)],
        [(0, 2, "1")],
        [(0, 2, 1.0), 0.5],
        {0: 1.0, 1: 1.0, 2: 1.0},
        [[0.5, 0.5, 0.5]],
    ],
    ids=str,
)
def test_what_is_neither_a_number_a_token_nor_spans_stops(returned: Any, tmp_path: Path) -> None:
    with pytest.raises(RewardError, match=r"one for each of its 3 tokens, or .* of its 5 characters"):
        one(mix(tmp_path, {"own": giving(returned)}), "abcde", 3, None, RIGHT)
    reward = one(mix(tmp_path, {"own": giving(returned)}, bad="wrong"), "abcde", 3, None, RIGHT)
    assert reward.bad and not reward.tokens and not reward.spans and reward.total == 0.0


def test_controls_put_something_else_in_the_verdicts_place(tmp_path: Path) -> None:
    """The verdict itself stays what it was, and the worth of right and wrong is the recipe's."""
    given = [
        row(
            f"text {i}",
            5,
            None,
            Verdict(status, float(status is Status.CORRECT), misplaced=i % 4 == 3),
            group=i // 8,
        )
        for i, status in enumerate([Status.CORRECT, Status.WRONG, Status.UNPARSED, Status.WRONG] * 8)
    ]

    def outcomes(control: str | None, seed: int = 0) -> list[float]:
        made = RewardMix(
            RewardConfig(control=control, wrong=-1.0),  # type: ignore[arg-type]
            [],
            20,
            tmp_path / "e.jsonl",
            seed=seed,
        )
        rewards = made(given)
        assert [r.verdict for r in rewards] == [r.verdict for r in given]
        return [r.total for r in rewards]

    assert outcomes(None) == [1.0, -1.0, -1.0, -1.0] * 8
    assert outcomes("format") == [1.0, 1.0, -1.0, -1.0] * 8  # the last stands elsewhere
    assert outcomes("wrong_answer") == [-1.0, 1.0, -1.0, 1.0] * 8
    assert outcomes("shuffled") == outcomes(None)  # the references were another problem's before
    coins = outcomes("random")
    assert {*coins} == {1.0, -1.0} and abs(sum(coins)) <= 16
    assert coins == outcomes("random") != outcomes("random", seed=1)


def test_the_same_text_twice_in_a_group_is_two_coins(tmp_path: Path) -> None:
    config = RewardConfig(control="random")
    same = [row("text", 5, None, Verdict(Status.WRONG, 0.0))] * 64
    assert {r.total for r in RewardMix(config, [], 20, tmp_path / "e.jsonl")(same)} == {0.0, 1.0}
