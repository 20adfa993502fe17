"""Intervals for means over problems, each named by what it speaks of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from evals.estimators.counts import Counts
from evals.estimators.designs import designs_of
from evals.estimators.empirical_bayes import fit_success_rates

LEVEL = 0.95
RESAMPLES = 10_000
# Resamples that are drawn together: bounds the memory at 8 bytes x BLOCK x problems.
BLOCK = 1_000


class Interval(NamedTuple):
    low: float
    high: float


class Estimate(NamedTuple):
    """A mean over problems, estimated without bias, with two 95 % intervals.

    new_problems: for the mean over all problems such as these; problems and samples are both random.
    these_problems: for the mean over just these problems, with unlimited samples of each; only the
    samples are random.
    """

    value: float
    new_problems: Interval
    these_problems: Interval


def bootstrap_mean(
    values: ArrayLike, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Percentile bootstrap of the mean over problems ("new problems"): Efron and Tibshirani 1993, ch. 13.

    values: [problems], one number each. The interval of a difference between two models is paired by
    giving the per-problem differences. The same seed gives the same interval.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or numbers.size == 0:
        raise ValueError("give one value per problem, for at least one problem")
    if numbers.min() == numbers.max():
        return Interval(float(numbers[0]), float(numbers[0]))
    return percentiles(resampled_means(numbers, resamples, seed), level)


def resampled_means(values: ArrayLike, resamples: int = RESAMPLES, seed: int = 0) -> NDArray[np.float64]:
    """Means over problems that are drawn with replacement: [P] -> [R], [P, M] -> [R, M].

    The M columns of one resample are means over the same problems. Drawing how often each different row
    occurs is the same as drawing problems, and counts make few different rows.
    """
    rows, copies = np.unique(np.asarray(values, dtype=np.float64), axis=0, return_counts=True)
    problems = int(copies.sum())
    generator = np.random.default_rng(seed)
    blocks = [min(BLOCK, resamples - start) for start in range(0, resamples, BLOCK)]
    drawn = [generator.multinomial(problems, copies / problems, size) @ rows for size in blocks]
    return np.concatenate(drawn) / problems


def difference_over_seeds(ours: ArrayLike, theirs: ArrayLike, level: float = LEVEL) -> Interval:
    """For the difference of two arms' means over all seeds of training and all problems such as these.

    ours: [S, P], theirs: [S', P], one row a seed, one column a problem, the same ones for both. The
    variance is the sum of three: of the problems' differences (paired) over P, and of each arm's seed
    means over its seeds; t-quantiles with the degrees of freedom of Satterthwaite (1946, Biometrics
    Bulletin 2). What is random in seed and problem alike counts in both, so the interval is rather too
    wide. An arm with one seed says nothing of seeds: its part is 0, and the interval is for that seed.
    """
    one, other = (np.asarray(values, dtype=np.float64) for values in (ours, theirs))
    paired = one.mean(axis=0) - other.mean(axis=0)
    parts = [(values.var(ddof=1) / values.size, values.size - 1)
             for values in (paired, one.mean(axis=1), other.mean(axis=1)) if values.size > 1]  # fmt: skip
    variance = sum(part for part, _ in parts)
    value = float(paired.mean())
    if variance == 0:
        return Interval(value, value)
    freedom = variance**2 / sum(part**2 / df for part, df in parts)
    half = float(stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(variance))
    return Interval(value - half, value + half)


def percentiles(draws: ArrayLike, level: float = LEVEL) -> Interval:
    """The middle `level` of the draws."""
    tail = (1 - level) / 2
    low, high = np.quantile(np.asarray(draws), [tail, 1 - tail])
    return Interval(float(low), float(high))


def interval_of_these(value: float, variances: Iterable[float], bounds: Interval) -> Interval:
    """value +- 1.96 standard errors, within bounds. variances: of independent parts of the value."""
    half = float(stats.norm.ppf((1 + LEVEL) / 2) * np.sqrt(sum(variances)))
    return Interval(max(value - half, bounds.low), min(value + half, bounds.high))


def sampling_variance(counts: Counts, combination: Mapping[int, float]) -> float:
    """The variance that sampling alone gives a combination of mean pass@k over these problems.

    combination: weights by k, as in `Design.error_variance`. The estimate is unbiased for fixed problems,
    with a variance that is a known function of each problem's success rate; that function is averaged
    over the rate's posterior under `fit_success_rates`. So the prior enters the width alone and never
    the centre. Raises ValueError for k above `counts.largest_k`.
    """
    fitted = fit_success_rates(counts)
    posterior = fitted.posterior(counts)
    total = sum(
        float(posterior[here].sum(axis=0) @ design.error_variance(fitted.rates, combination))
        for design, here in designs_of(counts)
    )
    return total / len(counts) ** 2
