"""The gap and its intervals: by hand, against scipy, and against the paper's table."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from evals.estimators.gap import closed_fraction, pass_at_1_change, sampling_efficiency_gap
from evals.estimators.intervals import bootstrap_mean

# arXiv 2504.13837, the six algorithms: (policy @1, gap, closed fraction) on Omni-MATH train, test, MATH500.
BASE = {"train": (0.099, 0.672), "test": (0.102, 0.691), "math500": (0.345, 0.962)}
TABLE = {
    "GRPO": [(0.261, 41.1, 0.2827), (0.251, 44.0, 0.2530), (0.744, 21.8, 0.6467)],
    "PPO": [(0.272, 40.0, 0.3019), (0.268, 42.3, 0.2818), (0.752, 21.0, 0.6596)],
    "ReMax": [(0.244, 42.8, 0.2531), (0.238, 45.3, 0.2309), (0.735, 22.7, 0.6321)],
    "RLOO": [(0.286, 38.6, 0.3264), (0.281, 41.0, 0.3039), (0.750, 21.2, 0.6564)],
    "Reinforce++": [(0.282, 39.0, 0.3194), (0.280, 41.1, 0.3022), (0.754, 20.8, 0.6629)],
    "DAPO": [(0.314, 35.8, 0.3752), (0.265, 42.6, 0.2767), (0.756, 20.6, 0.6661)],
    "GRPO 300": [(0.336, 33.6, 0.4136), (0.271, 42.0, 0.2869), (0.754, 20.8, 0.6629)],
    "GRPO 450": [(0.425, 24.7, 0.5689), (0.283, 40.8, 0.3073), (0.763, 19.9, 0.6775)],
}


@pytest.mark.parametrize("algorithm", TABLE)
def test_the_papers_closed_fractions(algorithm: str) -> None:
    for (base_1, base_k), (policy_1, gap, closed) in zip(BASE.values(), TABLE[algorithm], strict=True):
        assert 100 * (base_k - policy_1) == pytest.approx(gap, abs=1e-9)
        assert closed_fraction(base_1, base_k, policy_1) == pytest.approx(closed, abs=5e-5)


def test_gap_by_hand() -> None:
    # base: 2 of 4, 0 of 4 at k = 2 -> 5/6 and 0; policy @1: 3/4 and 1/4.
    gap = sampling_efficiency_gap(4, [2, 0], 4, [3, 1], 2)
    assert gap.value == pytest.approx((5 / 6 - 3 / 4 + 0 - 1 / 4) / 2)
    assert pass_at_1_change(4, [2, 0], 4, [3, 1]).value == pytest.approx((1 / 4 + 1 / 4) / 2)


def test_nothing_to_close() -> None:
    assert closed_fraction(0.5, 0.5, 0.5) is None


def test_bootstrap_agrees_with_scipy() -> None:
    values = np.random.default_rng(1).beta(0.3, 1.2, size=120)
    ours = bootstrap_mean(values)
    reference = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(2)
    ).confidence_interval
    width = reference.high - reference.low
    assert ours.low == pytest.approx(reference.low, abs=0.03 * width)
    assert ours.high == pytest.approx(reference.high, abs=0.03 * width)


def test_bootstrap_covers_the_true_mean() -> None:
    rng = np.random.default_rng(3)
    draws = rng.beta(0.5, 1.5, size=(400, 100))
    hits = [low <= 0.25 <= high for low, high in (bootstrap_mean(d, resamples=1000) for d in draws)]
    assert 0.91 <= np.mean(hits) <= 0.98


def test_bootstrap_of_equal_values_and_of_nothing() -> None:
    assert bootstrap_mean([0.5, 0.5]) == (0.5, 0.5)
    with pytest.raises(ValueError, match="at least one problem"):
        bootstrap_mean([])
