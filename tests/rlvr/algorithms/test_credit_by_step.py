"""Where algorithms credit what is given for single steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from toys import toy_algorithm, toy_batch, unscored

from rlvr.algorithms.batch import ReadyBatch, ScoredBatch


@pytest.mark.parametrize("name", ["rloo", "reinforce_pp", "ppo"])
def test_where_a_reward_is_credited(name: str) -> None:
    """By steps what follows a token alone; as one action all of it. Without token rewards there is no
    difference, to the bit."""
    batch = unscored(toy_batch())
    whole, by_step = (
        toy_algorithm(name, credit=credit).credit(batch).advantages for credit in ("outcome", "steps")
    )
    assert not torch.equal(whole, by_step)
    if name == "reinforce_pp":
        later = batch.token_rewards.flip(1).cumsum(1).flip(1)
        rest = batch.rewards - batch.token_rewards.sum(1)
        torch.testing.assert_close(by_step, (rest[:, None] + later) * batch.mask)
        torch.testing.assert_close(whole[:, 0], by_step[:, 0])
    plain = replace(batch, token_rewards=torch.zeros_like(batch.mask))
    for credit in ("outcome", "steps"):
        assert torch.equal(toy_algorithm(name, credit=credit).credit(plain).advantages, whole)


def test_reinforce_pp_with_a_baseline_has_no_steps() -> None:
    with pytest.raises(ValueError, match="baseline=true takes a completion as one action"):
        toy_algorithm("reinforce_pp", credit="steps", baseline=True)


def turned() -> ScoredBatch:
    """Two episodes of a group: two tokens, an observation of one, two tokens. The first has 1 for its first
    turn and 1 for its outcome, the second nothing."""
    mask = torch.tensor([[1.0, 1, 0, 1, 1]] * 2)
    given = torch.zeros(2, 5)
    given[0, 1] = 1.0
    batch = ReadyBatch(
        tokens=torch.ones(2, 6, dtype=torch.int64), prompt_len=torch.ones(2, dtype=torch.int64),
        completion_len=torch.full((2,), 5), mask=mask, group=torch.zeros(2, dtype=torch.int64),
        truncated=torch.zeros(2, dtype=torch.bool), correct=torch.tensor([True, False]),
        rewards=torch.tensor([2.0, 0.0]), greedy_rewards=torch.tensor([0.5, 0.5]),
        token_rewards=given, engine_logprobs=torch.zeros(2, 5),
    )  # fmt: skip
    return unscored(batch, torch.tensor([[0.5, 0.5, 9.0, 0.25, 0.25]] * 2))


HALF = 0.5**0.5  # (2 - 1) / the standard deviation of 2 and 0


@pytest.mark.parametrize(
    ("name", "options", "first", "second"),
    [
        ("rloo", {"credit": "outcome"}, [2, 2, 0, 2, 2], [-2, -2, 0, -2, -2]),
        # The outcome less the other's, and of the turn what is still to come, less the other's.
        ("rloo", {"credit": "steps"}, [2, 2, 0, 1, 1], [-2, -2, 0, -1, -1]),
        ("reinforce_pp", {"credit": "outcome"}, [2, 2, 0, 2, 2], [0, 0, 0, 0, 0]),
        ("reinforce_pp", {"credit": "steps"}, [2, 2, 0, 1, 1], [0, 0, 0, 0, 0]),
        ("grpo", {}, [HALF, HALF, 0, HALF, HALF], [-HALF, -HALF, 0, -HALF, -HALF]),
        ("dapo", {}, [HALF, HALF, 0, HALF, HALF], [-HALF, -HALF, 0, -HALF, -HALF]),
        ("remax", {}, [1.5, 1.5, 0, 1.5, 1.5], [-0.5, -0.5, 0, -0.5, -0.5]),
        # All at the end, from which the critic's value before each token is taken; observations are skipped.
        ("ppo", {}, [1.5, 1.5, 0, 1.75, 1.75], [-0.5, -0.5, 0, -0.25, -0.25]),
        # What the turn brought where it ends, so that the tokens after it have what is still to come.
        ("ppo", {"credit": "steps"}, [1.5, 1.5, 0, 0.75, 0.75], [-0.5, -0.5, 0, -0.25, -0.25]),
        # delta_t = r_t + V_t+1 / 2 - V_t, of the policy's tokens: 0 + .25 - .5, 1 + .125 - .5, .125 - .25,
        # 1 - .25; without the reward 1 and 1 less.
        (
            "ppo",
            {"credit": "steps", "gamma": 0.5, "lam": 0.0},
            [-0.25, 0.625, 0, -0.125, 0.75],
            [-0.25, -0.375, 0, -0.125, -0.25],
        ),
        # A_t = delta_t + A_t+1 / 4: .75, -.125 + .1875, .625 + .015625, -.25 + .16015625.
        (
            "ppo",
            {"credit": "steps", "gamma": 0.5, "lam": 0.5},
            [-0.08984375, 0.640625, 0, 0.0625, 0.75],
            [-0.355468750, -0.421875, 0, -0.1875, -0.25],
        ),
    ],
)
def test_what_each_algorithm_makes_of_turns(
    name: str, options: dict[str, Any], first: list[float], second: list[float]
) -> None:
    """Worked out by hand; no observation has an advantage."""
    found = toy_algorithm(name, **options).credit(turned()).advantages
    torch.testing.assert_close(found.float(), torch.tensor([first, second]).float(), atol=2e-6, rtol=0)
