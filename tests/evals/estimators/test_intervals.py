"""The variance that sampling alone gives, against an unbiased estimate without a prior and known rates."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from evals.estimators.counts import Counts
from evals.estimators.designs import fixed_design
from evals.estimators.gap import mean_pass_at_k
from evals.estimators.intervals import (
    BLOCK,
    Interval,
    bootstrap_mean,
    difference_over_seeds,
    interval_of_these,
    resampled_means,
    sampling_variance,
)

SHAPES = {
    "beta": lambda rng: rng.beta(0.23, 2.06, 2000),
    "two peaks": lambda rng: np.where(rng.random(2000) < 0.5, 0.004, rng.beta(8, 2, 2000)),
    "a fifth impossible": lambda rng: np.where(rng.random(2000) < 0.2, 0.0, rng.beta(0.5, 2, 2000)),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_variance_agrees_with_the_prior_free_one(shape: str) -> None:
    """For n >= 2k, (1 - pass@k)^2 - (1 - pass@2k) estimates a problem's variance without bias:
    Var(1 - pass@k) = E(1 - pass@k)^2 - (1-p)^2k."""
    rng = np.random.default_rng(0)
    rates = SHAPES[shape](rng)
    counts = Counts(256, rng.binomial(256, rates))
    free = ((1 - counts.pass_at_k(64)) ** 2 - (1 - counts.pass_at_k(128))).sum() / 2000**2
    true = fixed_design(256).error_variance(rates, {64: 1.0}).sum() / 2000**2
    assert sampling_variance(counts, {64: 1.0}) == pytest.approx(free, rel=0.1)
    assert sampling_variance(counts, {64: 1.0}) == pytest.approx(true, rel=0.1)


@pytest.mark.parametrize("shape", ["beta", "two peaks"])
def test_variance_where_k_is_n_and_no_prior_free_one_exists(shape: str) -> None:
    rng = np.random.default_rng(1)
    rates = SHAPES[shape](rng)
    true = fixed_design(256).error_variance(rates, {256: 1.0}).sum() / 2000**2
    assert sampling_variance(Counts(256, rng.binomial(256, rates)), {256: 1.0}) == pytest.approx(
        true, rel=0.1
    )


def test_problems_of_several_n_add_their_variances() -> None:
    rng = np.random.default_rng(2)
    n = np.repeat([32, 128], 1000)
    rates = rng.beta(2, 2, 2000)
    expected = (rates * (1 - rates) / n).sum() / 2000**2
    assert sampling_variance(Counts(n, rng.binomial(n, rates)), {1: 1.0}) == pytest.approx(expected, rel=0.05)


def test_no_success_at_all_still_leaves_an_interval() -> None:
    none = mean_pass_at_k(Counts(128, np.zeros(100, dtype=int)), 128)
    assert none.value == 0 and none.new_problems == (0, 0)
    assert none.these_problems.low == 0 and 0.002 < none.these_problems.high < 0.05


def test_interval_by_hand_and_within_its_bounds() -> None:
    # 1.959964 * sqrt(0.0009 + 0.0016) = 0.0979982
    assert interval_of_these(0.5, [0.0009, 0.0016], Interval(0, 1)) == pytest.approx((0.402002, 0.597998))
    assert interval_of_these(0.95, [0.0009, 0.0016], Interval(0, 1)).high == 1


def test_columns_of_a_resample_are_means_over_the_same_problems() -> None:
    values = np.random.default_rng(3).random(40)
    means = resampled_means(np.stack([values, 2 * values + 1], axis=1), resamples=BLOCK + 7)
    assert means.shape == (BLOCK + 7, 2)
    assert means[:, 1] == pytest.approx(2 * means[:, 0] + 1)
    assert means[:, 0] == pytest.approx(resampled_means(values, resamples=BLOCK + 7))


def test_a_difference_over_seeds_by_hand() -> None:
    """Paired differences -1, 1/2, 2 (variance 9/4); seed means 0, 1 and 0, 0 (variances 1/2 and 0), so
    that the variance is 3/4 + 1/4, with 1 / (9/16 / 2 + 1/16) = 32/11 degrees of freedom."""
    ours, theirs = [[-1.0, 0, 1], [0, 1, 2]], [[0.0, 0, 0], [1, 0, -1]]
    low, high = difference_over_seeds(ours, theirs)
    half = stats.t.ppf(0.975, 32 / 11)
    assert (low, high) == pytest.approx((0.5 - half, 0.5 + half))


@pytest.mark.parametrize(
    ("seeds", "of_seeds", "of_problems", "of_both"),
    [(3, 0.03, 0.3, 0.1), (3, 0.06, 0.1, 0.1), (3, 0.0, 0.3, 0.1), (2, 0.03, 0.2, 0.05), (5, 0.05, 0.2, 0.0)],
)
def test_a_difference_over_seeds_covers_that_of_equal_algorithms(
    seeds: int, of_seeds: float, of_problems: float, of_both: float
) -> None:
    """Values are mu + seed + problem of the arm + both. Holding the seeds fixed would cover far less."""
    rng, problems, trials = np.random.default_rng(0), 100, 1500
    covered = fixed = 0
    for _ in range(trials):
        arms = [
            of_seeds * rng.standard_normal((seeds, 1))
            + of_problems * rng.standard_normal(problems)
            + of_both * rng.standard_normal((seeds, problems))
            for _ in range(2)
        ]
        low, high = difference_over_seeds(*arms)
        covered += low <= 0 <= high
        low, high = difference_over_seeds(*(arm.mean(axis=0)[None] for arm in arms))
        fixed += low <= 0 <= high
    assert 0.935 <= covered / trials <= 0.995
    assert of_seeds == 0 or fixed < covered - 0.02 * trials


def test_an_arm_with_one_seed_tells_of_problems_alone() -> None:
    values = np.random.default_rng(5).random((2, 60))
    low, high = difference_over_seeds(values[:1], values[1:])
    expected = bootstrap_mean(values[0] - values[1])
    assert (low, high) == pytest.approx(tuple(expected), abs=0.01)
    same = np.ones((3, 4))
    assert difference_over_seeds(same, same) == (0, 0)


def test_a_wider_level_gives_a_wider_interval() -> None:
    values = np.random.default_rng(4).random(40)
    inner, outer = bootstrap_mean(values, level=0.8), bootstrap_mean(values, level=0.99)
    assert outer.low < inner.low < values.mean() < inner.high < outer.high
