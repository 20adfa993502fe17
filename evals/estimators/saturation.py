"""Is pass@k still rising where the samples end, and how many would tell?

Up to K, the largest k that the counts can estimate, everything here is unbiased. Beyond K it rests on one
assumption, and is called a projection: that success rates too small for the samples to tell from 0 are
distributed as the smoothed Beta of `fit_success_rates` says. Counts cannot test that.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evals.estimators.counts import Counts
from evals.estimators.designs import fixed_design
from evals.estimators.empirical_bayes import SuccessRates, fit_success_rates
from evals.estimators.gap import difference
from evals.estimators.intervals import LEVEL, Estimate, Interval, bootstrap_mean, percentiles

# Each resample is a fit of its own.
RESAMPLES = 200
# The most samples per problem that are thought of, in units of K.
FARTHEST = 64


class Projection(NamedTuple):
    """Model-based. interval: 95 %, from resamples of problems that are each fitted anew; it holds the
    uncertainty of the fit, not that of the assumption."""

    value: float
    interval: Interval


class Saturation(NamedTuple):
    """last_gain: pass@K - pass@(K/2). saturated: whether it lies below the threshold, by an interval for
    new problems; None: undecided, as with fewer than some two hundred problems, of which a few more may be
    the ones that still gain. unsolved: share of problems. next_gain: pass@2K - pass@K, for new
    problems, like pass_at_2k. solvable: how many of the unsolved problems K more samples of each would
    solve; its interval is for that number itself, so it can be held against such samples.
    samples_to_decide: samples per problem with which the next gain would be told from the threshold;
    None: more than 64 K, so that more problems are needed and not more samples."""

    k: int
    threshold: float
    last_gain: Estimate
    saturated: bool | None
    unsolved: float
    next_gain: Projection
    pass_at_2k: Projection
    solvable: Projection
    samples_to_decide: int | None


def saturation(counts: Counts, threshold: float = 0.005, seed: int = 0) -> Saturation:
    """Of one measurement. threshold: a gain per doubling, in fractions (0.005 is half a point of 100).

    Raises ValueError where fewer than 2 samples per problem leave no last doubling.
    """
    k = counts.largest_k
    if k < 2:
        raise ValueError("saturation needs at least 2 samples per problem")
    last = difference(counts, k, counts, k // 2)
    fitted = fit_success_rates(counts)
    gain, at_2k = _next(counts, fitted)
    solvable = _solvable(counts, fitted)
    gains, ends, numbers = _resampled(counts, np.random.default_rng(seed))
    return Saturation(
        k=k,
        threshold=threshold,
        last_gain=last,
        saturated=_saturated(counts, last, k, threshold),
        unsolved=float(1 - counts.solved.mean()),
        next_gain=Projection(gain, percentiles(gains)),
        pass_at_2k=Projection(at_2k, percentiles(ends)),
        solvable=Projection(float(solvable.sum()), percentiles(numbers)),
        samples_to_decide=samples_to_decide(fitted, len(counts), k, threshold),
    )


def samples_to_decide(rates: SuccessRates, problems: int, k: int, threshold: float) -> int | None:
    """The least of 2K, 4K, ..., 64K samples per problem, drawn for `problems` problems of these rates,
    whose 95 % interval of pass@2K - pass@K, for new problems, leaves the threshold out; None if none."""
    gains = rates.pass_at_k(2 * k) - rates.pass_at_k(k)
    gain = float(rates.weights @ gains)
    between = float(rates.weights @ (gains - gain) ** 2)
    quantile = float(stats.norm.ppf((1 + LEVEL) / 2))
    n = 2 * k
    while n <= FARTHEST * k:
        sampling = float(rates.weights @ fixed_design(n).error_variance(rates.rates, {2 * k: 1.0, k: -1.0}))
        if abs(gain - threshold) > quantile * np.sqrt((between + sampling) / problems):
            return n
        n *= 2
    return None


def _resampled(counts: Counts, generator: np.random.Generator) -> NDArray[np.float64]:
    """[3, R]: of each resample of problems the next gain, pass@2K, and how many problems of `counts` itself
    get solved, drawn by their chances."""
    draws = []
    for _ in range(RESAMPLES):
        rows = generator.integers(len(counts), size=len(counts))
        sample = Counts(counts.n[rows], counts.correct[rows], counts.stop_r, counts.n_max)
        fitted = fit_success_rates(sample)
        solved = generator.binomial(1, _solvable(counts, fitted)).sum()
        draws.append((*_next(sample, fitted), solved))
    return np.array(draws).T


def _next(counts: Counts, fitted: SuccessRates) -> tuple[float, float]:
    """pass@2K - pass@K by the fit, and pass@2K: that gain on top of what was measured, 1 at most."""
    k = counts.largest_k
    gains = fitted.pass_at_k(2 * k) - fitted.pass_at_k(k)
    gain = float((fitted.posterior(counts) @ gains).mean())
    return gain, min(1.0, float(counts.pass_at_k(k).mean()) + gain)


def _solvable(counts: Counts, fitted: SuccessRates) -> NDArray[np.float64]:
    """[U]: the chance of each unsolved problem to be solved within K more samples."""
    return np.clip(fitted.posterior(counts)[~counts.solved] @ fitted.pass_at_k(counts.largest_k), 0.0, 1.0)


def _saturated(counts: Counts, last: Estimate, k: int, threshold: float) -> bool | None:
    """Where no problem shows a gain, a bootstrap sees no doubt at all, however few they are. So two more
    problems stand beside them, as Agresti and Coull (1998) do for shares: one that gains nothing, and one
    that gains 1/2, the most that a problem can show where K is all its samples."""
    if last.new_problems.low > threshold:
        return False
    gains = counts.pass_at_k(k) - counts.pass_at_k(k // 2)
    return True if bootstrap_mean([*gains, 0.0, 0.5]).high < threshold else None
