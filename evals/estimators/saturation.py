"""Is pass@k still rising where the samples end, and how many would tell?

Up to K, the largest k that the counts can estimate, everything here is unbiased. One doubling further it is
so but for a bias of at most some 0.3 points, with no assumption on the success rates: Good and Toulmin
(1956, Biometrika 43) estimate from K samples what K more would find. Farther nothing is said.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evals.estimators.counts import Counts
from evals.estimators.designs import Design, designs_of, fixed_design
from evals.estimators.empirical_bayes import SuccessRates, fit_success_rates, rate_grid
from evals.estimators.gap import difference
from evals.estimators.intervals.means import DIFFERENCE, LEVEL, SHARE, Estimate, Interval, mean_interval

# The most samples per problem that are thought of, in units of K.
FARTHEST = 64
# Weighs the variance of the estimated next gain against its bias, at most 0.003 for any success rates.
RIDGE = 1e-4
_KEPT: dict[tuple[int | None, int, int], tuple[NDArray[np.float64], float]] = {}


class Projection(NamedTuple):
    """What one doubling more would give. interval: 95 %, the largest possible bias included."""

    value: float
    interval: Interval


class Saturation(NamedTuple):
    """last_gain: pass@K - pass@(K/2). saturated: whether it lies below the threshold, by an interval for
    new problems; None: undecided, as with fewer than some three hundred problems, of which a few more may be
    the ones that still gain. unsolved: share of problems. next_gain: pass@2K - pass@K, for new
    problems, like pass_at_2k. solvable: how many of the unsolved problems K more samples of each would
    solve; its interval is for that number itself, so it can be held against such samples.
    samples_to_decide: samples per problem with which the next gain would be told from the threshold, by a
    fit of the success rates; None: more than 64 K, so that more problems are needed and not more samples."""

    k: int
    threshold: float
    last_gain: Estimate
    saturated: bool | None
    unsolved: float
    next_gain: Projection
    pass_at_2k: Projection
    solvable: Projection
    samples_to_decide: int | None


def saturation(counts: Counts, threshold: float = 0.005) -> Saturation:
    """Of one measurement. threshold: a gain per doubling, in fractions (0.005 is half a point of 100).

    Raises ValueError where fewer than 2 samples per problem leave no last doubling.
    """
    k = counts.largest_k
    if k < 2:
        raise ValueError("saturation needs at least 2 samples per problem")
    last = difference(counts, k, counts, k // 2)
    gain, end, solvable = saturation_projections(counts)
    return Saturation(
        k=k,
        threshold=threshold,
        last_gain=last,
        saturated=_saturated(counts, last, k, threshold),
        unsolved=float(1 - counts.solved.mean()),
        next_gain=gain,
        pass_at_2k=end,
        solvable=solvable,
        samples_to_decide=samples_to_decide(fit_success_rates(counts), len(counts), k, threshold),
    )


def saturation_projections(counts: Counts) -> tuple[Projection, Projection, Projection]:
    """next_gain, pass_at_2k and solvable of `Saturation`."""
    gains, bias = next_gains(counts)
    return (
        _projected(gains, DIFFERENCE, bias),
        _projected(counts.pass_at_k(counts.largest_k) + gains, SHARE, bias),
        _solvable(gains, int((~counts.solved).sum()), bias),
    )


def next_gains(counts: Counts) -> tuple[NDArray[np.float64], float]:
    """[P]: for each problem a number that is pass@2K - pass@K on average over its samples, and the largest
    bias of that for any success rate.

    (1-p)^K - (1-p)^2K has no unbiased estimate from K samples. The numbers are those by outcome that are
    nearest to it over all rates (least squares), with a penalty on their squares: near 1, -1, 1, ... for
    1, 2, 3 ... successes as in Good and Toulmin's series, and soon 0 as where it is smoothed (Efron and
    Thisted 1976).
    """
    k = counts.largest_k
    gains, worst = np.empty(len(counts)), 0.0
    for design, here in designs_of(counts):
        numbers, bias = _numbers(design, k)
        gains[here] = numbers[_outcomes(design, counts, here)]
        worst = max(worst, bias)
    return gains, worst


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


def _numbers(design: Design, k: int) -> tuple[NDArray[np.float64], float]:
    """[O]: the numbers of `next_gains` by outcome, and their largest bias. They depend on how problems are
    sampled alone, so they are kept."""
    about = design.outcomes
    key = (about.stop_r, about.n_max, k)
    if key not in _KEPT:
        rates = rate_grid(about.n_max)
        target = (1 - rates) ** k - (1 - rates) ** (2 * k)
        chances = design.probabilities(rates)
        penalty = RIDGE * np.diag(chances.sum(axis=0) + 1e-9)
        numbers = np.asarray(np.linalg.solve(chances.T @ chances + penalty, chances.T @ target), np.float64)
        _KEPT[key] = numbers, float(np.abs(chances @ numbers - target).max())
    return _KEPT[key]


def _outcomes(design: Design, counts: Counts, here: NDArray[np.bool_]) -> list[int]:
    """Which outcome of the design each of these problems had."""
    found = design.outcomes
    known = {pair: i for i, pair in enumerate(zip(found.n.tolist(), found.correct.tolist(), strict=True))}
    return [known[pair] for pair in zip(counts.n[here].tolist(), counts.correct[here].tolist(), strict=True)]


def _projected(values: NDArray[np.float64], bounds: Interval, bias: float) -> Projection:
    """The mean of values that may each lie out of bounds, since not each but their mean is a share."""
    low, high = mean_interval(values, Interval(min(bounds.low, values.min()), max(bounds.high, values.max())))
    least = max(0.0, bounds.low)
    return Projection(
        float(np.clip(values.mean(), least, 1.0)),
        Interval(float(np.clip(low - bias, least, 1.0)), float(np.clip(high + bias, least, 1.0))),
    )


def _solvable(gains: NDArray[np.float64], unsolved: int, bias: float) -> Projection:
    """The sum of the gains, for just these problems. Its error has two independent parts: that of the
    estimate, and the luck of the samples that are still to come, whose variance is at most the number
    itself; one more stands for a number that happens to be 0."""
    value = float(gains.sum())
    error = np.sqrt(np.square(gains).sum() + max(value, 0.0) + 1)
    half = float(stats.norm.ppf((1 + LEVEL) / 2) * error) + bias * gains.size
    return Projection(
        float(np.clip(value, 0, unsolved)),
        Interval(float(np.clip(value - half, 0, unsolved)), float(np.clip(value + half, 0, unsolved))),
    )


def _saturated(counts: Counts, last: Estimate, k: int, threshold: float) -> bool | None:
    """Where no problem shows a gain, one of the two that are added gains 1/2, the most that a problem can
    show where K is all its samples."""
    if last.new_problems.low > threshold:
        return False
    gains = counts.pass_at_k(k) - counts.pass_at_k(k // 2)
    return True if mean_interval(gains, Interval(0.0, 0.5)).high < threshold else None
