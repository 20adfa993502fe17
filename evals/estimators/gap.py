"""The sampling-efficiency gap and what goes with it: arXiv 2504.13837, section 4.3."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evals.estimators.counts import Counts, check_paired
from evals.estimators.intervals.means import DIFFERENCE, SHARE, Estimate, Interval, mean_interval
from evals.estimators.intervals.ratios import ratio_interval
from evals.estimators.intervals.sampling import interval_of_these, sampling_variance


def mean_pass_at_k(counts: Counts, k: int) -> Estimate:
    """pass@k, averaged over problems. Raises ValueError for k above `counts.largest_k`."""
    values = counts.pass_at_k(k)
    return _estimate(values, [sampling_variance(counts, {k: 1.0})], SHARE)


def gap(base: Counts, policy: Counts, k: int) -> Estimate:
    """Base pass@k minus policy pass@1; positive, lower is better.

    base, policy: the same problems in the same order, sampled independently; or the same object, for the
    gap of a model to itself from one set of samples. Raises ValueError for another number of problems
    and for k above `base.largest_k`.
    """
    return difference(base, k, policy, 1)


def pass_at_k_difference(base: Counts, policy: Counts, k: int) -> Estimate:
    """Policy pass@k minus base pass@k; base and policy as in `gap`."""
    return difference(policy, k, base, k)


def closed_fraction(base_at_1: float, base_at_k: float, policy_at_1: float) -> float | None:
    """(policy@1 - base@1) / (base@K - base@1); None where the base has nothing to close."""
    room = base_at_k - base_at_1
    return (policy_at_1 - base_at_1) / room if room > 0 else None


def closed_fraction_interval(base: Counts, policy: Counts, k: int) -> Interval | None:
    """95 % of the ratio of the two means, over new problems; see `ratio_interval`.

    None where the problems cannot tell whether the base has anything to close. [0, 0] for a model held
    against itself.
    """
    check_paired(base, policy)
    at_1 = base.pass_at_k(1)
    room = base.pass_at_k(k) - at_1
    if base is policy:
        return Interval(0.0, 0.0) if room.sum() > 0 else None
    return ratio_interval(policy.pass_at_k(1) - at_1, room)


def difference(one: Counts, k: int, other: Counts, other_k: int) -> Estimate:
    """pass@k of one minus pass@other_k of the other, paired by problem."""
    check_paired(one, other)
    values = one.pass_at_k(k) - other.pass_at_k(other_k)
    bounds = DIFFERENCE
    if one is not other:
        variances = [sampling_variance(one, {k: 1.0}), sampling_variance(other, {other_k: 1.0})]
    elif k != other_k:
        variances = [sampling_variance(one, {k: 1.0, other_k: -1.0})]
        bounds = Interval(0.0, 1.0) if k > other_k else Interval(-1.0, 0.0)  # more samples solve no less
    else:
        nothing = Interval(0.0, 0.0)
        return Estimate(0.0, nothing, nothing)
    return _estimate(values, variances, bounds)


def _estimate(values: NDArray[np.float64], variances: list[float], bounds: Interval) -> Estimate:
    value = float(values.mean())
    return Estimate(value, mean_interval(values, bounds), interval_of_these(value, variances, bounds))
