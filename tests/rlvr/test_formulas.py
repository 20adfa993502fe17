"""Advantages and losses against the vectors of other frameworks' own functions, and their identities."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlvr import advantages, losses

REWARDS = torch.tensor([1.0, 0, 0, 1, 0, 0, 0, 1])
GROUP = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
OLD = torch.tensor([[-1.0, -2.0], [-0.5, -3.0]])
NEW = torch.tensor([[-0.7, -2.5], [-0.8, -1.0]])
ADVANTAGES = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
MASK = torch.tensor([[1.0, 1.0], [1.0, 0.0]])


def close(actual: torch.Tensor, expected: list[float], tolerance: float = 1e-6) -> None:
    torch.testing.assert_close(
        actual.flatten(), torch.tensor(expected), atol=tolerance, rtol=0, check_dtype=False
    )


def test_grpo_as_in_verl() -> None:
    values = [0.866024, -0.866024, -0.866024, 0.866024, -0.499999, -0.499999, -0.499999, 1.499997]
    close(advantages.group_normalised(REWARDS, GROUP, eps=1e-6), values)


def test_grpo_as_in_trl() -> None:
    values = [0.865875, -0.865875, -0.865875, 0.865875, -0.4999, -0.4999, -0.4999, 1.4997]
    close(advantages.group_normalised(REWARDS, GROUP, eps=1e-4), values)


@pytest.mark.parametrize("value", [0.0, 0.7, 1.0, 1 / 3])
@pytest.mark.parametrize("eps", [0.0, 1e-9, 1e-6])
def test_equal_rewards_give_exactly_zero(value: float, eps: float) -> None:
    rewards = torch.full((8,), value)
    assert torch.equal(
        advantages.group_normalised(rewards, torch.zeros(8, dtype=torch.int64), eps), torch.zeros(8)
    )


def test_a_group_of_one_gives_zero() -> None:
    assert advantages.group_normalised(torch.tensor([1.0]), torch.tensor([3])).item() == 0


@given(
    st.lists(st.floats(-5, 5, width=32), min_size=8, max_size=8),
    st.permutations(range(8)),
    st.floats(0.01, 100),
)
def test_identities_of_group_normalisation(values: list[float], order: list[int], scale: float) -> None:
    rewards = torch.tensor(values, dtype=torch.float64)
    result = advantages.group_normalised(rewards, GROUP, eps=0.0)
    assert abs(result[:4].sum()) < 1e-6
    index = torch.tensor(order)
    shuffled = advantages.group_normalised(rewards[index], GROUP[index], eps=0.0)
    torch.testing.assert_close(shuffled, result[index], atol=1e-9, rtol=1e-9)
    if rewards[:4].std() > 1e-6 and rewards[4:].std() > 1e-6:
        scaled = advantages.group_normalised(rewards * scale, GROUP, eps=0.0)
        torch.testing.assert_close(scaled, result, atol=1e-6, rtol=1e-6)


def test_ppo_clip_by_sequence_mean() -> None:
    per_token = losses.ppo_clip(NEW, OLD, ADVANTAGES)
    assert (losses.sequence_mean(MASK, 2) * per_token).sum().item() == pytest.approx(-0.051633, abs=1e-6)
    higher = losses.ppo_clip(NEW, OLD, ADVANTAGES, 0.2, 0.28)
    assert (losses.sequence_mean(MASK, 2) * higher).sum().item() == pytest.approx(-0.071633, abs=1e-6)


def test_ppo_clip_by_token_mean() -> None:
    per_token = losses.ppo_clip(NEW, OLD, ADVANTAGES)
    assert ((MASK / MASK.sum()) * per_token).sum().item() == pytest.approx(-0.33551, abs=1e-6)
    full = torch.ones_like(MASK)
    assert ((full / 4) * per_token).sum().item() == pytest.approx(1.595631, abs=1e-6)


def test_clipped_share() -> None:
    share = losses.clipped_share(NEW, OLD, ADVANTAGES)
    assert ((MASK / MASK.sum()) * share).sum().item() == pytest.approx(2 / 3, abs=1e-6)


def test_kl_estimators() -> None:
    close(losses.kl(NEW, OLD, "k1"), [0.3, -0.5, -0.3, 2.0])
    close(losses.kl(NEW, OLD, "k2"), [0.045, 0.125, 0.045, 2.0])
    close(losses.kl(NEW, OLD, "k3"), [0.040818, 0.148721, 0.049859, 1.135335])


def test_one_update_does_not_depend_on_the_clip_range() -> None:
    for low, high in [(0.2, 0.2), (0.01, 5.0)]:
        new = NEW.clone().requires_grad_()
        losses.ppo_clip(new, None, ADVANTAGES, low, high).sum().backward()
        torch.testing.assert_close(new.grad, -ADVANTAGES)


def test_untrained_rows_leave_the_weights() -> None:
    mask = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    weights = losses.sequence_mean(mask, completions=1)
    close(weights, [0.5, 0.5, 0.0, 0.0])
