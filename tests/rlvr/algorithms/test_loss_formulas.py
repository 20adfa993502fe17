"""Ratios, losses, the KL and the overlong penalty, against other frameworks' own functions and by hand."""

from __future__ import annotations

import pytest
import torch

from rlvr.algorithms.formulas import normalisation, policy_loss
from rlvr.algorithms.formulas.kl import kl_estimate
from rlvr.algorithms.formulas.ratio import log_ratio, ratio, sequence_log_ratio, sequence_mean_ratio
from rlvr.algorithms.formulas.value_loss import value_loss
from rlvr.rollouts.rewards import overlong_penalty

OLD = torch.tensor([[-1.0, -2.0], [-0.5, -3.0]])
NEW = torch.tensor([[-0.7, -2.5], [-0.8, -1.0]])
ADVANTAGES = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
MASK = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
FULL = torch.ones_like(MASK)


def close(actual: torch.Tensor, expected: list[float], tolerance: float = 1e-6) -> None:
    wanted = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(actual.double().flatten(), wanted, atol=tolerance, rtol=0)


class TestRatio:
    def test_by_hand(self) -> None:
        close(ratio(NEW, OLD), [1.349859, 0.606531, 0.740818, 7.389056])
        close(log_ratio(NEW, OLD), [0.3, -0.5, -0.3, 2.0])

    def test_without_old_logprobs_it_is_1_with_the_gradient_of_the_logprobs(self) -> None:
        new = NEW.clone().requires_grad_()
        value = ratio(new, None)
        value.sum().backward()
        assert torch.equal(value, FULL) and torch.equal(new.grad, FULL)

    def test_of_a_completion_at_each_of_its_tokens(self) -> None:
        close(sequence_log_ratio(log_ratio(NEW, OLD) * MASK), [-0.2, -0.2, -0.3, -0.3])

    def test_geometric_mean_of_a_completion_with_each_tokens_own_gradient(self) -> None:
        new = NEW.clone().requires_grad_()
        value = sequence_mean_ratio(new, OLD, MASK)
        close(value.detach(), [0.904837, 0.904837, 0.740818, 0.740818])
        value.sum().backward()
        torch.testing.assert_close(new.grad, value.detach())


class TestPolicyLosses:
    def test_cispo_weighs_by_a_capped_ratio_and_every_token_keeps_its_gradient(self) -> None:
        new = NEW.clone().requires_grad_()
        loss = policy_loss.cispo(ratio(new, OLD), new, ADVANTAGES, cap=2.0)
        close(loss.detach(), [0.944901, 1.516327, -0.592655, -2.0])
        loss.sum().backward()
        close(new.grad, [-1.349859, -0.606531, 0.740818, 2.0])

    @pytest.mark.parametrize(("high", "mean", "by_sequence", "by_sum", "by_length"), [
        (0.2, -0.33551, -0.051633, -0.503265, -0.251633),
        (0.28, -0.362177, -0.071633, -0.543265, -0.271633),
    ])  # fmt: skip
    def test_ppo_clip(
        self, high: float, mean: float, by_sequence: float, by_sum: float, by_length: float
    ) -> None:
        per_token = policy_loss.ppo_clip(ratio(NEW, OLD), ADVANTAGES, 0.2, high)
        for weights, value in [
            (normalisation.token_mean(MASK, 3), mean),
            (normalisation.sequence_mean(MASK, 2), by_sequence),
            (normalisation.sequence_sum(MASK, 2), by_sum),
            (normalisation.fixed_length(MASK, 2, 2), by_length),
            (normalisation.group_token_mean(MASK, torch.tensor([0, 0]), 1), mean),
        ]:
            assert (weights * per_token).sum().item() == pytest.approx(value, abs=1e-6)

    @pytest.mark.parametrize(
        ("high", "dual", "value"),
        [(0.2, 3.0, 0.498367), (0.2, None, 1.595631), (0.28, 3.0, 0.478367), (0.28, None, 1.575631)],
    )
    def test_dual_clip(self, high: float, dual: float | None, value: float) -> None:
        per_token = policy_loss.ppo_clip(ratio(NEW, OLD), ADVANTAGES, 0.2, high, dual)
        assert per_token.mean().item() == pytest.approx(value, abs=1e-6)

    def test_group_token_mean_weighs_groups_alike(self) -> None:
        mask = torch.tensor([[1.0, 1, 1], [1, 0, 0], [1, 1, 0]])
        weights = normalisation.group_token_mean(mask, torch.tensor([7, 7, 2]), groups=2)
        close(weights, [1 / 8, 1 / 8, 1 / 8, 1 / 8, 0, 0, 1 / 4, 1 / 4, 0])

    def test_clipped_share(self) -> None:
        share = policy_loss.clipped_share(ratio(NEW, OLD), ADVANTAGES)
        assert (normalisation.token_mean(MASK, 3) * share).sum().item() == pytest.approx(2 / 3, abs=1e-6)

    def test_one_update_does_not_depend_on_the_clip_range(self) -> None:
        for low, high, dual in [(0.2, 0.2, None), (0.01, 5.0, 3.0)]:
            new = NEW.clone().requires_grad_()
            policy_loss.ppo_clip(ratio(new, None), ADVANTAGES, low, high, dual).sum().backward()
            torch.testing.assert_close(new.grad, -ADVANTAGES)

    def test_reinforce_has_the_gradient_of_ppo_on_policy(self) -> None:
        one, other = NEW.clone().requires_grad_(), NEW.clone().requires_grad_()
        policy_loss.reinforce(one, ADVANTAGES).sum().backward()
        policy_loss.ppo_clip(ratio(other, NEW), ADVANTAGES).sum().backward()
        torch.testing.assert_close(one.grad, other.grad)

    def test_untrained_rows_leave_the_weights(self) -> None:
        mask = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
        close(normalisation.sequence_mean(mask, completions=1), [0.5, 0.5, 0.0, 0.0])


def test_kl_estimators() -> None:
    close(kl_estimate(NEW, OLD, "k1"), [0.3, -0.5, -0.3, 2.0])
    close(kl_estimate(NEW, OLD, "k2"), [0.045, 0.125, 0.045, 2.0])
    close(kl_estimate(NEW, OLD, "k3"), [0.040818, 0.148721, 0.049859, 1.135335])


def test_kl_estimators_as_losses_have_the_gradients_that_are_said_of_them() -> None:
    """Expected over the policy's samples: k1 none, k2 that of the reverse KL, k3 neither."""
    logits = torch.tensor([0.3, -0.2, 0.9], dtype=torch.float64)
    reference = torch.tensor([0.1, 0.4, -0.5], dtype=torch.float64).log_softmax(-1)
    true = logits.clone().requires_grad_()
    policy = true.log_softmax(-1)
    (policy.exp() * (policy - reference)).sum().backward()
    found = {}
    for estimator in ("k1", "k2", "k3"):
        own = logits.clone().requires_grad_()
        policy = own.log_softmax(-1)
        (policy.exp().detach() * kl_estimate(policy, reference, estimator)).sum().backward()  # type: ignore[arg-type]
        found[estimator] = own.grad
    torch.testing.assert_close(found["k1"], torch.zeros(3, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(found["k2"], true.grad)
    assert (found["k3"] - true.grad).abs().max() > 0.01


@pytest.mark.parametrize(("clip", "value"), [(0.5, 0.0325), (0.2, 0.1)])
def test_value_loss(clip: float, value: float) -> None:
    predicted, old, returns = (
        torch.tensor([[0.9, 0.2]]),
        torch.tensor([[0.2, 0.1]]),
        torch.tensor([[1.0, 0.0]]),
    )
    assert value_loss(predicted, old, returns, clip).mean().item() == pytest.approx(value, abs=1e-7)


@pytest.mark.parametrize(
    ("length", "penalty"),
    [(16384, 0.0), (16385, -0.000244), (18432, -0.5), (20480, -1.0), (20481, -1.0), (100, 0.0)],
)
def test_overlong_shaping(length: int, penalty: float) -> None:
    assert overlong_penalty(length, 20480, 4096) == pytest.approx(penalty, abs=5e-7)
