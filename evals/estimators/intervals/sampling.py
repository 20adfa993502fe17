"""Intervals for just these problems, where the samples alone are random."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from scipy import stats

from evals.estimators.counts import Counts
from evals.estimators.designs import designs_of
from evals.estimators.empirical_bayes import fit_success_rates
from evals.estimators.intervals.means import LEVEL, Interval


def interval_of_these(value: float, variances: Iterable[float], bounds: Interval) -> Interval:
    """value +- 1.96 standard errors, within bounds. variances: of independent parts of the value."""
    half = float(stats.norm.ppf((1 + LEVEL) / 2) * np.sqrt(sum(variances)))
    return Interval(max(value - half, bounds.low), min(value + half, bounds.high))


def sampling_variance(counts: Counts, combination: Mapping[int, float]) -> float:
    """The variance that sampling alone gives a combination of mean pass@k over these problems.

    combination: weights by k, as in `Design.error_variance`. The estimate is unbiased for fixed problems,
    with a variance that is a known function of each problem's success rate; that function is averaged
    over the rate's posterior under `fit_success_rates`. So the prior enters the width alone and never
    the centre. One problem more, of the rate with the largest variance, stands for what a fit to few
    problems misses. Raises ValueError for k above `counts.largest_k`.
    """
    fitted = fit_success_rates(counts)
    posterior = fitted.posterior(counts)
    total = largest = 0.0
    for design, here in designs_of(counts):
        variances = design.error_variance(fitted.rates, combination)
        total += float(posterior[here].sum(axis=0) @ variances)
        largest = max(largest, float(variances.max()))
    return (total + largest) / len(counts) ** 2
