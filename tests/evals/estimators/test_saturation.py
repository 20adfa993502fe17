"""Saturation: what is measured by hand, what is projected against samples that were then drawn."""

from __future__ import annotations

import numpy as np
import pytest

from evals.estimators.counts import Counts
from evals.estimators.empirical_bayes import SuccessRates
from evals.estimators.saturation import samples_to_decide, saturation


def two_peaks(problems: int, hard: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.where(rng.random(problems) < 0.5, hard, rng.beta(8, 2, problems))


def test_a_curve_that_still_rises_is_not_saturated() -> None:
    rates = two_peaks(400, 0.01)
    found = saturation(Counts(64, np.random.default_rng(1).binomial(64, rates)))
    assert found.saturated is False and found.k == 64
    assert found.last_gain.new_problems.low > found.threshold


def test_a_curve_that_has_ended_is_saturated() -> None:
    rates = two_peaks(400, 0.0)
    found = saturation(Counts(64, np.random.default_rng(1).binomial(64, rates)))
    assert found.saturated is True and found.unsolved == pytest.approx((rates == 0).mean())
    assert found.next_gain.value < 0.005 and found.solvable.value < 3


def test_a_few_problems_cannot_say() -> None:
    assert saturation(Counts(8, [0, 1, 8, 8, 8, 8])).saturated is None


def test_few_problems_without_a_gain_cannot_say_either() -> None:
    """None of 40 shows a gain; of 40 others one might, which would be more than the threshold."""
    found = saturation(Counts(256, [256] * 20 + [0] * 20))
    low, high = found.last_gain.new_problems
    assert low == 0 and 0.05 < high < 0.1 and found.saturated is None
    assert saturation(Counts(256, [256] * 300 + [0] * 300)).saturated is True


@pytest.mark.parametrize(("n", "correct"), [(256, [40] * 30 + [1] * 10), (4, [1] * 8)])
def test_a_projection_is_a_probability(n: int, correct: list[int]) -> None:
    found = saturation(Counts(n, correct))
    assert found.pass_at_2k.value <= 1 and found.pass_at_2k.interval.high <= 1
    assert found.next_gain.value <= found.pass_at_2k.value


def test_last_gain_by_hand() -> None:
    # 1 of 4: pass@4 - pass@2 = 1 - 1/2; 2 of 4: 1 - 5/6; 0 of 4: 0.
    found = saturation(Counts(4, [1, 2, 0, 4]))
    assert found.last_gain.value == pytest.approx((1 / 2 + 1 / 6) / 4)
    assert found.unsolved == 0.25


def test_one_sample_has_no_last_doubling() -> None:
    with pytest.raises(ValueError, match="at least 2 samples"):
        saturation(Counts(1, [0, 1]))


def test_projections_hold_against_samples_that_are_then_drawn() -> None:
    rng = np.random.default_rng(3)
    rates = rng.beta(0.23, 2.06, 500)
    correct = rng.binomial(128, rates)
    found = saturation(Counts(128, correct))
    more = rng.binomial(128, rates)
    solved_then = int(((correct == 0) & (more > 0)).sum())
    assert found.solvable.interval.low <= solved_then <= found.solvable.interval.high
    both = Counts(256, correct + more)
    assert found.pass_at_2k.interval.low <= both.pass_at_k(256).mean() <= found.pass_at_2k.interval.high
    gain = (both.pass_at_k(256) - both.pass_at_k(128)).mean()
    assert found.next_gain.interval.low <= gain <= found.next_gain.interval.high


def test_solvable_by_hand() -> None:
    """Half of the rates 0, half p: an unsolved problem is of rate p with weight (1-p)^n."""
    rates = SuccessRates(np.array([0.0, 0.1]), np.array([0.5, 0.5]))
    posterior = rates.posterior(Counts(10, [0]))[0]
    assert posterior[1] == pytest.approx(0.9**10 / (1 + 0.9**10))
    assert rates.pass_at_k(10) == pytest.approx([0, 1 - 0.9**10])


def test_samples_to_decide() -> None:
    """All problems alike, so that sampling is the only noise and its variance falls with n."""
    alike = SuccessRates(np.array([0.01]), np.array([1.0]))
    gain = 0.99**64 - 0.99**128
    assert samples_to_decide(alike, problems=400, k=64, threshold=gain + 0.2) == 128
    near = samples_to_decide(alike, problems=400, k=64, threshold=gain + 0.01)
    assert near is not None and near > 128
    assert samples_to_decide(alike, problems=400, k=64, threshold=gain) is None
    mixed = SuccessRates(np.array([0.01, 0.9]), np.array([0.5, 0.5]))
    assert samples_to_decide(mixed, problems=400, k=64, threshold=gain / 2 + 0.01) is None


def test_inverse_sampling_can_be_judged_too() -> None:
    rng = np.random.default_rng(5)
    right = rng.random((200, 64)) < two_peaks(200, 0.01)[:, None]
    reached = right.cumsum(axis=1)
    n = np.where(reached[:, -1] >= 2, (reached >= 2).argmax(axis=1) + 1, 64)
    found = saturation(Counts(n, np.minimum(reached[:, -1], 2), stop_r=2, n_max=64))
    assert found.k == 64 and found.saturated is False
