"""The variance that sampling alone gives, against an unbiased estimate without a prior and known rates."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from evals.estimators.counts import Counts
from evals.estimators.designs import fixed_design
from evals.estimators.gap import mean_pass_at_k
from evals.estimators.intervals.means import DIFFERENCE, SHARE, Interval, mean_interval
from evals.estimators.intervals.ratios import ratio_interval, share
from evals.estimators.intervals.resampling import BLOCK, resampled_means
from evals.estimators.intervals.sampling import interval_of_these, sampling_variance
from evals.estimators.intervals.seeds import difference_over_seeds, holm, spread_of_seeds

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
    assert none.value == none.new_problems.low == 0 and 0.02 < none.new_problems.high < 0.05
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


def test_a_mean_is_that_of_two_problems_more_by_hand() -> None:
    """0, 1, 2 and another 0 and 2: mean 1, variance 4 / 4, error sqrt(1/5); two degrees of freedom."""
    half = 0.1 * stats.t.ppf(0.975, 2) / np.sqrt(5)
    assert mean_interval([0, 0.1, 0.2], DIFFERENCE) == pytest.approx((0.1 - half, 0.1 + half))


def test_a_skewed_mean_reaches_farther_to_where_rare_values_hide() -> None:
    values = np.array([0.0] * 27 + [0.9] * 3)
    low, high = mean_interval(values, DIFFERENCE)
    half = stats.t.ppf(0.975, 29) * values.std(ddof=1) / np.sqrt(30)
    assert high > 0.09 + 1.2 * half and low > 0.09 - half


def test_equal_values_have_the_width_that_the_bounds_allow() -> None:
    """All of 30 solved: as 30 of them, one more solved and one not."""
    mean, error = 31 / 32, np.sqrt((31 / 32 * 1 / 32) / 31)
    low, high = mean_interval([1.0] * 30, SHARE)
    assert (low, high) == (pytest.approx(mean - stats.t.ppf(0.975, 29) * error), 1.0)
    with pytest.raises(ValueError, match="at least one problem"):
        mean_interval([], SHARE)


def test_the_ends_of_a_ratio_are_where_the_difference_may_be_0() -> None:
    rng = np.random.default_rng(7)
    whole = rng.random(60)
    part = whole * rng.random(60)
    found = ratio_interval(part, whole)
    assert found is not None and found.low < part.sum() / whole.sum() < found.high
    assert mean_interval(part - found.low * whole, DIFFERENCE).low == pytest.approx(0, abs=1e-9)
    assert mean_interval(part - found.high * whole, DIFFERENCE).high == pytest.approx(0, abs=1e-9)
    scaled = ratio_interval(10 * part, 2 * whole)
    assert scaled is not None and tuple(scaled) == pytest.approx((5 * found.low, 5 * found.high))


def test_a_ratio_to_what_may_be_nothing_has_no_interval() -> None:
    assert ratio_interval([0.1, 0.2, 0.3], [-0.5, 0.1, 0.5]) is None


def test_a_share_that_nothing_was_seen_of_may_still_exist() -> None:
    none, one, other = share([0] * 40, [8] * 40), share([0] * 39 + [8], [8] * 40), share([0, 0], [0, 0])
    assert none is not None and one is not None and other is None
    assert none.value == none.interval.low == 0 and 0.02 < none.interval.high < one.interval.high < 0.2
    every = share([8] * 40, [8] * 40)
    assert every is not None and every.interval == pytest.approx((1 - none.interval.high, 1))


def test_holm_by_hand() -> None:
    assert holm([0.04, 0.01, 0.03, 0.5]) == pytest.approx([0.09, 0.04, 0.09, 0.5])
    assert holm([]) == [] and holm([0.7, 0.9]) == [1.0, 1.0]


def test_a_difference_over_seeds_by_hand() -> None:
    """Differences -1, 1/2, 2, and -1 and 2 again: mean 1/2, variance 9 / 4 over 5. Seed means 0, 1 and 0, 0:
    variances 1/2 and 0, 1/4 over both; with that, 3/8 and 1/8, over 2. What is left of our values beside
    their seeds and problems is 0, of theirs (1/2, 0, -1/2) and its opposite: 1 / 2 over 6."""
    ours, theirs = [[-1.0, 0, 1], [0, 1, 2]], [[0.0, 0, 0], [1, 0, -1]]
    value, (low, high), p = difference_over_seeds(ours, theirs)
    parts = [(9 / 20, 2), (3 / 16, 1), (1 / 16, 1)]
    variance = sum(part for part, _ in parts) - 1 / 12
    freedom = variance**2 / sum(part**2 / df for part, df in parts)
    half = stats.t.ppf(0.975, freedom) * np.sqrt(variance)
    assert (value, low, high) == pytest.approx((0.5, 0.5 - half, 0.5 + half))
    assert p == pytest.approx(2 * stats.t.sf(0.5 / np.sqrt(variance), freedom))


@pytest.mark.parametrize(
    ("seeds", "of_seeds", "of_problems", "of_both"),
    [(3, 0.03, 0.3, 0.1), (3, 0.06, 0.1, 0.1), (2, 0.03, 0.2, 0.05), (5, 0.05, 0.2, 0.0)],
)
def test_a_difference_over_seeds_covers_that_of_equal_algorithms(
    seeds: int, of_seeds: float, of_problems: float, of_both: float
) -> None:
    """Values are mu + seed + problem of the arm + both. Holding the seeds fixed would cover far less."""
    rng, problems, trials = np.random.default_rng(0), 100, 600
    covered = fixed = 0
    for _ in range(trials):
        arms = [
            of_seeds * rng.standard_normal((seeds, 1))
            + of_problems * rng.standard_normal(problems)
            + of_both * rng.standard_normal((seeds, problems))
            for _ in range(2)
        ]
        low, high = difference_over_seeds(*arms).interval
        covered += low <= 0 <= high
        low, high = difference_over_seeds(*(arm.mean(axis=0)[None] for arm in arms)).interval
        fixed += low <= 0 <= high
    assert 0.93 <= covered / trials <= 0.995
    assert fixed < covered - 0.02 * trials


def test_an_arm_with_one_seed_tells_of_problems_and_of_the_other_arms_seeds() -> None:
    values = np.random.default_rng(5).random((4, 60))
    one, other = values[:1], values[1:2]
    alone = difference_over_seeds(one, other)
    assert alone.interval == pytest.approx(tuple(mean_interval(one[0] - other[0], DIFFERENCE)))
    spread = spread_of_seeds([one, other, values + np.arange(4)[:, None] / 10])
    assert spread.freedom == 3 and difference_over_seeds(one, other, spread).p > alone.p


def test_a_wider_level_gives_a_wider_interval() -> None:
    values = np.random.default_rng(4).random(40)
    inner, outer = mean_interval(values, SHARE, level=0.8), mean_interval(values, SHARE, level=0.99)
    assert outer.low < inner.low < values.mean() < inner.high < outer.high
