"""Advantages and losses against vectors of other frameworks' own functions, by hand, by brute force."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlvr.algorithms.formulas import advantages, normalisation

REWARDS = torch.tensor([1.0, 0, 0, 1, 0, 0, 0, 1])
GROUP = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
LENGTHS = torch.tensor([2, 3, 4, 1, 3, 3, 2, 4])
COMPLETIONS = (torch.arange(4) < LENGTHS[:, None]).float()
OLD = torch.tensor([[-1.0, -2.0], [-0.5, -3.0]])
NEW = torch.tensor([[-0.7, -2.5], [-0.8, -1.0]])
ADVANTAGES = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
MASK = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
FULL = torch.ones_like(MASK)

rewards_of_8 = st.lists(st.floats(-5, 5, width=32), min_size=8, max_size=8)


def close(actual: torch.Tensor, expected: list[float], tolerance: float = 1e-6) -> None:
    wanted = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(actual.double().flatten(), wanted, atol=tolerance, rtol=0)


def whiten(values: torch.Tensor, mask: torch.Tensor, ddof: int) -> torch.Tensor:
    return advantages.whitened(values, mask, advantages.moments(values, mask), ddof, eps=0.0)


class TestGroups:
    def test_grpo_as_in_verl(self) -> None:
        values = [0.866024, -0.866024, -0.866024, 0.866024, -0.499999, -0.499999, -0.499999, 1.499997]
        close(advantages.group_normalised(REWARDS, GROUP, eps=1e-6), values)

    def test_grpo_as_in_trl(self) -> None:
        values = [0.865875, -0.865875, -0.865875, 0.865875, -0.4999, -0.4999, -0.4999, 1.4997]
        close(advantages.group_normalised(REWARDS, GROUP, eps=1e-4), values)

    def test_group_mean_only(self) -> None:
        close(advantages.group_centred(REWARDS, GROUP), [0.5, -0.5, -0.5, 0.5, -0.25, -0.25, -0.25, 0.75])

    def test_leave_one_out(self) -> None:
        third = 1 / 3
        close(
            advantages.leave_one_out(REWARDS, GROUP),
            [2 * third, -2 * third, -2 * third, 2 * third, -third, -third, -third, 1.0],
        )

    @pytest.mark.parametrize("value", [0.0, 0.7, 1.0, 1 / 3])
    @pytest.mark.parametrize("eps", [0.0, 1e-9, 1e-6])
    def test_equal_rewards_give_exactly_zero(self, value: float, eps: float) -> None:
        rewards, group = torch.full((8,), value), torch.zeros(8, dtype=torch.int64)
        assert torch.equal(advantages.group_normalised(rewards, group, eps), torch.zeros(8))
        assert torch.equal(advantages.leave_one_out(rewards, group), torch.zeros(8))

    def test_a_group_of_one_gives_zero(self) -> None:
        alone = torch.tensor([3])
        assert advantages.group_normalised(torch.tensor([1.0]), alone).item() == 0
        assert advantages.leave_one_out(torch.tensor([1.0]), alone).item() == 0

    @given(rewards_of_8, st.permutations(range(8)), st.floats(0.01, 100))
    def test_identities(self, values: list[float], order: list[int], scale: float) -> None:
        rewards, index = torch.tensor(values, dtype=torch.float64), torch.tensor(order)
        for estimate in (
            lambda r, g: advantages.group_normalised(r, g, eps=0.0),
            advantages.leave_one_out,
            advantages.group_centred,
        ):
            result = estimate(rewards, GROUP)
            assert abs(result[:4].sum()) < 1e-6
            torch.testing.assert_close(estimate(rewards[index], GROUP[index]), result[index])
        loo = advantages.leave_one_out(rewards, GROUP)
        torch.testing.assert_close(loo, 4 / 3 * advantages.group_centred(rewards, GROUP), atol=1e-12, rtol=0)
        torch.testing.assert_close(advantages.leave_one_out(rewards * scale, GROUP), loo * scale)
        if rewards[:4].std() > 1e-6 and rewards[4:].std() > 1e-6:
            plain = advantages.group_normalised(rewards, GROUP, eps=0.0)
            scaled = advantages.group_normalised(rewards * scale, GROUP, eps=0.0)
            torch.testing.assert_close(scaled, plain, atol=1e-6, rtol=1e-6)


class TestPassAtK:
    @pytest.mark.parametrize("k", [1, 2, 4])
    def test_is_the_mean_over_subsets(self, k: int) -> None:
        for right in range(7):
            correct = torch.tensor([i < right for i in range(6)])
            subsets = list(combinations(range(6), k))
            passed = torch.tensor([float(correct[list(s)].any()) for s in subsets])
            spread = passed.std(correction=0)
            expected = [
                float(
                    torch.stack([p for p, s in zip(passed, subsets, strict=True) if i in s]).mean()
                    - passed.mean()
                )
                / (float(spread) or 1.0)
                for i in range(6)
            ]
            close(advantages.pass_at_k_advantage(correct, torch.zeros(6), k), expected, 1e-5)

    def test_k_1_is_grpo_with_ddof_0(self) -> None:
        ours = advantages.pass_at_k_advantage(REWARDS > 0, GROUP, 1)
        close(ours, advantages.group_normalised(REWARDS, GROUP, eps=0.0, ddof=0).tolist())

    def test_refuses_a_group_smaller_than_k(self) -> None:
        with pytest.raises(ValueError, match="groups of at least 5"):
            advantages.pass_at_k_advantage(REWARDS > 0, GROUP, 5)


class TestTokenRewards:
    @pytest.mark.parametrize(("ddof", "high", "low"), [(1, 1.430194, -0.667424), (0, 1.46385, -0.68313)])
    def test_reinforce_pp(self, ddof: int, high: float, low: float) -> None:
        rewards = advantages.rewards_at_end(REWARDS, COMPLETIONS, torch.zeros(8, 4))
        result = whiten(advantages.return_to_go(rewards, COMPLETIONS), COMPLETIONS, ddof)
        close(result[:, 0], [high, low, low, high, low, low, low, high])
        assert torch.equal(result * (1 - COMPLETIONS), torch.zeros_like(result))

    @pytest.mark.parametrize(
        ("ddof", "values"),
        [
            (1, [1.095662, -0.913052, -0.913052, 1.095662, -0.410873, -0.410873, -0.410873, 1.597841]),
            (0, [1.121446, -0.934539, -0.934539, 1.121446, -0.420542, -0.420542, -0.420542, 1.635443]),
        ],
    )
    def test_reinforce_pp_baseline(self, ddof: int, values: list[float]) -> None:
        centred = advantages.group_centred(REWARDS, GROUP)[:, None] * COMPLETIONS
        close(whiten(centred, COMPLETIONS, ddof)[:, 0], values, 2e-6)

    def test_gae(self) -> None:
        values = torch.zeros(8, 4)
        values[0, :2] = torch.tensor([0.5, 0.6])
        values[2] = torch.tensor([0.1, 0.2, 0.3, 0.4])
        rewards = advantages.rewards_at_end(REWARDS, COMPLETIONS, torch.zeros(8, 4))
        advantage, returns = advantages.gae(rewards, values, COMPLETIONS, 1.0, 1.0)
        close(advantage[0, :2], [0.5, 0.4])
        close(advantage[2], [-0.1, -0.2, -0.3, -0.4])
        advantage, returns = advantages.gae(rewards, values, COMPLETIONS, 1.0, 0.95)
        close(advantage[0, :2], [0.48, 0.4])
        close(returns[0, :2], [0.98, 1.0])
        close(advantage[2], [-0.0577, -0.166, -0.28, -0.4], 5e-5)
        close(returns[2], [0.0423, 0.034, 0.02, 0.0], 5e-5)

    def test_without_values_gae_is_the_return_to_go(self) -> None:
        rewards = torch.rand(8, 4, generator=torch.Generator().manual_seed(0)) * COMPLETIONS
        advantage, _ = advantages.gae(rewards, None, COMPLETIONS)
        by_hand = rewards.flip(1).cumsum(1).flip(1) * COMPLETIONS
        torch.testing.assert_close(advantage, by_hand)
        torch.testing.assert_close(advantages.return_to_go(rewards, COMPLETIONS), by_hand)

    def test_untrained_tokens_between_spans_are_stepped_over(self) -> None:
        gap = torch.tensor([[1.0, 0, 0, 1]])
        values = torch.tensor([[0.1, 9.0, 9.0, 0.4]])
        advantage, returns = advantages.gae(
            advantages.rewards_at_end(torch.tensor([1.0]), gap, torch.zeros(1, 4)), values, gap, 1.0, 0.95
        )
        whole, _ = advantages.gae(
            torch.tensor([[0.0, 1.0]]), torch.tensor([[0.1, 0.4]]), torch.ones(1, 2), 1.0, 0.95
        )
        close(advantage, [whole[0, 0].item(), 0, 0, whole[0, 1].item()])
        assert returns[0, 1] == 0

    def test_leave_one_out_by_step(self) -> None:
        """Three completions of one problem, two of another. G: the token rewards from here on.

        group 0: R 1 0 0; token rewards (-1 0 0), (0 -2 -), (0 0 -1)
          G = (-1 0 0), (-2 -2 -), (-1 -1 -1), and 0 beyond the end of the second
          R - others: 1 -1/2 -1/2
          G - others, t = 0: -1 + 3/2, -2 + 1, -1 + 3/2; t = 1: 3/2, -2 + 1/2, -1 + 1; t = 2: 1/2, -, -1 + 0
        group 1: R 1 1, without token rewards: 0
        """
        mask = torch.tensor([[1.0, 1, 1], [1, 1, 0], [1, 1, 1], [1, 0, 0], [1, 1, 0]])
        given = torch.tensor([[-1.0, 0, 0], [0, -2, 0], [0, 0, -1], [0, 0, 0], [0, 0, 0]])
        outcome, group = torch.tensor([1.0, 0, 0, 1, 1]), torch.tensor([0, 0, 0, 1, 1])
        result = advantages.leave_one_out_by_step(outcome, given, mask, group)
        close(result[0], [1 + 0.5, 1 + 1.5, 1 + 0.5])
        close(result[1], [-0.5 - 1.0, -0.5 - 1.5, 0.0])
        close(result[2], [-0.5 + 0.5, -0.5 + 0.0, -0.5 - 1.0])
        assert torch.equal(result[3:], torch.zeros(2, 3))
        # gamma 1/2: G = (-1 0 0), (-1 -2 -), (-1/4 -1/2 -1)
        halved = advantages.leave_one_out_by_step(outcome, given, mask, group, gamma=0.5)
        close(halved[0], [1 - 1 + 0.625, 1 + 1.25, 1 + 0.5])
        close(halved[2], [-0.5 - 0.25 + 1.0, -0.5 - 0.5 + 1.0, -0.5 - 1.0])

    def test_by_step_the_gradient_is_that_of_the_whole_reward(self) -> None:
        """Both estimators, averaged over every pair of completions of a policy that draws two tokens: the
        baselines change nothing. What is given at a token depends on the tokens up to it."""
        logits = torch.tensor([[0.3, -0.2], [0.5, 0.1]], dtype=torch.float64)
        chances = logits.softmax(1)
        drawn = [(a, b) for a in (0, 1) for b in (0, 1)]
        outcomes = torch.tensor([0.0, 1.0, 1.0, 0.0], dtype=torch.float64)
        given = torch.tensor([[-1.0, 0], [-1, 2], [0, -1], [0, 0.5]], dtype=torch.float64)
        mask, group = torch.ones(2, 2, dtype=torch.float64), torch.zeros(2, dtype=torch.int64)
        mean = {"whole": torch.zeros(2, 2).double(), "by step": torch.zeros(2, 2).double()}
        for i, one in enumerate(drawn):
            for j, other in enumerate(drawn):
                chance = torch.stack([chances[t, pair[t]] for pair in (one, other) for t in (0, 1)]).prod()
                pair = torch.tensor([i, j])
                total = outcomes[pair] + given[pair].sum(1)
                credited = {
                    "whole": advantages.leave_one_out(total, group)[:, None] * mask,
                    "by step": advantages.leave_one_out_by_step(outcomes[pair], given[pair], mask, group),
                }
                for name, advantage in credited.items():
                    for t in (0, 1):
                        score = torch.nn.functional.one_hot(torch.tensor(one[t]), 2) - chances[t]
                        mean[name][t] += chance * advantage[0, t] * score
        torch.testing.assert_close(mean["whole"], mean["by step"])
        assert mean["whole"].abs().max() > 0.01

    def test_reward_and_kl_on_tokens(self) -> None:
        mask, penalty = torch.tensor([[1.0, 1, 0], [0, 0, 0]]), torch.full((2, 3), -0.1)
        close(advantages.rewards_at_end(torch.tensor([2.0, 5.0]), mask, penalty), [-0.1, 1.9, 0, 0, 0, 0])

    def test_whitening_by_completions_counts_each_once(self) -> None:
        mask = torch.tensor([[1.0, 0, 0], [1, 1, 1]])
        values = torch.tensor([[3.0, 0, 0], [1, 1, 1]])
        total = advantages.moments(values, normalisation.sequence_mean(mask, 1.0))
        close(total, [2.0, 4.0, 10.0])
        close(advantages.whitened(values, mask, total, 0), [1.0, 0, 0, -1, -1, -1])

    def test_moments_add_up_over_ranks(self) -> None:
        parts = [advantages.moments(REWARDS[:4, None], FULL[:1, :1].expand(4, 1)) for _ in range(1)]
        parts.append(advantages.moments(REWARDS[4:, None], torch.ones(4, 1)))
        torch.testing.assert_close(sum(parts), advantages.moments(REWARDS[:, None], torch.ones(8, 1)))


def test_unlikely_rewards_by_hand() -> None:
    """Equal ones share a rank; the other group does not count; what is worth nothing stays so."""
    rewards = torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0])
    logprob = torch.tensor([-1.0, -2.0, -0.5, -2.0, -3.0])
    found = advantages.unlikely_rewards(rewards, logprob, torch.tensor([4, 4, 4, 4, 9]), 0.25)
    assert found.tolist() == [0.875, 1.0, 0.0, 1.0, 1.0]


def test_signed() -> None:
    assert advantages.signed(torch.tensor([True, False]), 0.1, 1.0).tolist() == [0.1, -1.0]
