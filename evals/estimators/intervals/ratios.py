"""The interval of a ratio of two means over problems: shares of right answers, the closed part of a gap."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from evals.estimators.intervals.means import (
    DIFFERENCE,
    LEVEL,
    SHARE,
    Interval,
    mean_interval,
    quantile,
    with_ends,
)

# The weight of a problem that no share was seen of, in mean numbers of answers of a problem.
UNSEEN = 0.5
# Doublings of the first guess at how far an end is.
FARTHEST = 60

Values = NDArray[np.float64]


class Share(NamedTuple):
    """A ratio of sums over problems, with its 95 % interval for problems such as these."""

    value: float
    interval: Interval


def ratio_interval(part: ArrayLike, whole: ArrayLike, level: float = LEVEL) -> Interval | None:
    """For mean(part) / mean(whole): all ratios q with which part - q whole may have mean 0 (Fieller 1954).

    part, whole: [P], one row a problem. Whether the mean may be 0 is told as in `mean_interval`. None where
    the mean of `whole` may be 0 itself, so that no ratio is out of the question.
    """
    above, below = _values(part), _values(whole)
    room = mean_interval(below, DIFFERENCE, level)
    if room.low <= 0 <= room.high:
        return None

    def outside(q: float) -> float:
        apart = above - q * below
        return _outside(apart, apart.min(), apart.max(), level)

    value = float(above.sum() / below.sum())
    return Interval(_end(outside, value, -1), _end(outside, value, 1))


def share(part: ArrayLike, whole: ArrayLike) -> Share | None:
    """The share that `part` has of `whole`, [P] counts each; None where there is nothing to have a share of.

    The interval is as in `ratio_interval`, but of the two problems added, one is at least as bad and one at
    least as good as a problem with half the mean number of answers can be: where a few problems alone have a
    share, or none has, others may still.
    """
    above, below = _values(part), _values(whole)
    if not below.sum():
        return None
    least = UNSEEN * float(below.mean())

    def outside(q: float) -> float:
        apart = above - q * below
        return _outside(apart, min(apart.min(), -q * least), max(apart.max(), (1 - q) * least), LEVEL)

    value = float(above.sum() / below.sum())
    return Share(value, Interval(_end(outside, value, -1, SHARE.low), _end(outside, value, 1, SHARE.high)))


def _outside(apart: Values, low: float, high: float, level: float) -> float:
    """Above 0 where the mean of these cannot be 0, below it where it can."""
    centre = with_ends(apart, low, high)
    return float(abs(centre.value) - quantile(apart.size, level) * centre.error)


def _end(outside: Callable[[float], float], value: float, side: int, bound: float | None = None) -> float:
    """The farthest ratio on one side of the value that is not outside."""
    if bound is None:
        step = max(abs(value), 1e-3)
        for _ in range(FARTHEST):
            if outside(value + side * step) > 0:
                break
            step *= 2
        bound = value + side * step
    if outside(bound) <= 0:
        return bound
    if outside(value) > 0:  # the two problems alone move the mean that far
        return value
    return float(optimize.brentq(outside, value, bound))


def _values(numbers: ArrayLike) -> Values:
    return np.asarray(numbers, dtype=np.float64)
