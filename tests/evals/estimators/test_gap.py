"""The gap and its intervals: by hand, against scipy, and against the paper's table."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from evals.estimators.counts import Counts
from evals.estimators.gap import (
    closed_fraction,
    closed_fraction_interval,
    gap,
    mean_pass_at_k,
    pass_at_k_difference,
)
from evals.estimators.solvability import ledger

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
    for (base_1, base_k), (policy_1, points, closed) in zip(BASE.values(), TABLE[algorithm], strict=True):
        assert 100 * (base_k - policy_1) == pytest.approx(points, abs=1e-9)
        assert closed_fraction(base_1, base_k, policy_1) == pytest.approx(closed, abs=5e-5)


def test_gap_by_hand() -> None:
    # base: 2 of 4, 0 of 4 at k = 2 -> 5/6 and 0; policy @1: 3/4 and 1/4.
    base, policy = Counts(4, [2, 0]), Counts(4, [3, 1])
    assert gap(base, policy, 2).value == pytest.approx((5 / 6 - 3 / 4 + 0 - 1 / 4) / 2)
    assert pass_at_k_difference(base, policy, 1).value == pytest.approx((1 / 4 + 1 / 4) / 2)
    assert mean_pass_at_k(base, 2).value == pytest.approx(5 / 12)


def test_gap_of_unequal_designs_by_hand() -> None:
    # base until its 2nd success: at the 3rd draw, @2: 1 - C(0,1)/C(2,1) = 1; 1 of 5, @2: 2/5. policy of 3, 2.
    base, policy = Counts([3, 5], [2, 1], stop_r=2, n_max=5), Counts([3, 2], [1, 1])
    assert gap(base, policy, 2).value == pytest.approx((1 + 2 / 5 - 1 / 3 - 1 / 2) / 2)


def test_a_gap_beyond_the_samples_or_of_other_problems_is_refused() -> None:
    with pytest.raises(ValueError, match="pass@8 needs at least 8 samples per problem, there are 4"):
        gap(Counts(4, [1, 2]), Counts(16, [1, 2]), 8)
    with pytest.raises(ValueError, match="the base has 2 problems, the policy 3"):
        gap(Counts(4, [1, 2]), Counts(4, [1, 2, 3]), 2)


def test_the_independent_reproduction_of_the_study() -> None:
    """Qwen2.5-7B and its SimpleRL-Zoo model on MATH500, n = 128: solvable sets 462/19/3/16, pass@128 differs
    by -3.20 [-5.00, -1.40] points, paired over problems."""
    base = Counts(128, np.repeat([1, 1, 0, 0], [462, 19, 3, 16]))
    policy = Counts(128, np.repeat([1, 0, 1, 0], [462, 19, 3, 16]))
    assert ledger(base.correct, policy.correct) == (3, 19, 462, 16)
    change = pass_at_k_difference(base, policy, 128)
    assert 100 * change.value == pytest.approx(-3.20, abs=1e-9)
    low, high = change.new_problems
    assert 100 * (high - low) == pytest.approx(3.60, rel=0.1)
    one_problem = 0.2
    assert 100 * low == pytest.approx(-5.00, abs=1.01 * one_problem)
    assert 100 * high == pytest.approx(-1.40, abs=1.01 * one_problem)


def test_a_model_does_not_differ_from_itself() -> None:
    counts = Counts(8, [0, 3, 8])
    assert pass_at_k_difference(counts, counts, 4) == (0.0, (0.0, 0.0), (0.0, 0.0))


def test_one_set_of_samples_says_more_of_its_own_gap_than_two() -> None:
    """pass@2 and pass@1 of the same samples rise and fall together."""
    one, other = Counts(16, [1, 2, 5, 0, 3]), Counts(16, [1, 2, 5, 0, 3])
    alone, independent = gap(one, one, 2), gap(one, other, 2)
    assert alone.value == independent.value and alone.new_problems == independent.new_problems
    assert np.diff(alone.these_problems) < 0.8 * np.diff(independent.these_problems)


def test_the_closed_fractions_interval_is_near_a_bootstraps_where_problems_are_many() -> None:
    rng = np.random.default_rng(4)
    rates = rng.beta(0.5, 2.0, 600)
    base, policy = Counts(64, rng.binomial(64, rates)), Counts(64, rng.binomial(64, rates**0.6))
    columns = (policy.pass_at_k(1), base.pass_at_k(1), base.pass_at_k(64))
    reference = stats.bootstrap(
        columns,
        lambda p, b, k: (p.mean(-1) - b.mean(-1)) / (k.mean(-1) - b.mean(-1)),
        paired=True,
        method="percentile",
        n_resamples=5_000,
        rng=np.random.default_rng(5),
    ).confidence_interval
    ours = closed_fraction_interval(base, policy, 64)
    assert ours is not None
    width = reference.high - reference.low
    assert ours == pytest.approx((reference.low, reference.high), abs=0.08 * width)


def test_nothing_to_close() -> None:
    assert closed_fraction(0.5, 0.5, 0.5) is None
    assert closed_fraction_interval(Counts(4, [0, 4]), Counts(4, [1, 3]), 4) is None
