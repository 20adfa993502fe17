"""Differences between arms of a study: over seeds of training and problems, one at a time and all at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

from evals.estimators.intervals.means import DIFFERENCE, LEVEL, Interval, ends_of, with_ends

Values = NDArray[np.float64]


class Spread(NamedTuple):
    """The variance of one seed's mean over problems, from `freedom` degrees of freedom; 0 of 0 where no arm
    has several seeds."""

    variance: float
    freedom: int


class Difference(NamedTuple):
    """Of two arms' means. p: the chance of one at least as large between equal arms, for itself alone."""

    value: float
    interval: Interval
    p: float


def spread_of_seeds(arms: Sequence[ArrayLike]) -> Spread:
    """Pooled over arms, [S, P] each: the variance of seed means within an arm."""
    means = [np.asarray(values, dtype=np.float64).mean(axis=1) for values in arms]
    freedom = sum(own.size - 1 for own in means)
    squares = sum(float(np.square(own - own.mean()).sum()) for own in means)
    return Spread(squares / freedom if freedom else 0.0, freedom)


def difference_over_seeds(
    ours: ArrayLike, theirs: ArrayLike, spread: Spread | None = None, level: float = LEVEL
) -> Difference:
    """For the difference of two arms' means over all seeds of training and all problems such as these.

    ours: [S, P], theirs: [S', P], one row a seed, one column a problem, the same ones for both. spread: over
    all arms of the study, else of these two.

    The variance is the sum of three: of the problems' differences (paired, with two more problems as in
    `mean_interval`) over P, and of each arm's seed means over its seeds; t-quantiles with the degrees of
    freedom of Satterthwaite (1946, Biometrics Bulletin 2). An arm's variance of seeds is the mean of its own
    and that of all arms: few seeds may lie together by luck, and of many pairs one will. An arm with one
    seed has that of all arms alone; where none has several, nothing is said of seeds.
    """
    one, other = (np.asarray(values, dtype=np.float64) for values in (ours, theirs))
    shared = spread_of_seeds([one, other]) if spread is None else spread
    paired = one.mean(axis=0) - other.mean(axis=0)
    centre = with_ends(paired, *ends_of(paired, DIFFERENCE))
    parts = [
        (float(centre.error) ** 2, max(paired.size - 1, 1)),
        _of_seeds(one, shared),
        _of_seeds(other, shared),
    ]
    in_both = _of_both(one) + _of_both(other)
    variance = max(sum(part for part, _ in parts) - in_both, *(part for part, _ in parts))
    freedom = variance**2 / sum(part**2 / own for part, own in parts)
    error = float(np.sqrt(variance))
    half = float(stdtrit(freedom, (1 + level) / 2)) * error
    value = float(paired.mean())
    middle = float(centre.value)
    around = Interval(min(middle - half, value), max(middle + half, value))
    return Difference(value, around, float(2 * stdtr(freedom, -abs(middle) / error)))


def holm(p: Sequence[float]) -> list[float]:
    """p-values of a family, corrected: Holm 1979, Scandinavian Journal of Statistics 6.

    Calling those below 0.05 calls an equal pair apart in at most 5 % of families, however they depend.
    """
    corrected = [0.0] * len(p)
    least = 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        least = max(least, min(1.0, (len(p) - rank) * p[i]))
        corrected[i] = least
    return corrected


def _of_both(values: Values) -> float:
    """What of an arm's mean is random in seed and problem alike; of one seed, which cannot tell, 0."""
    seeds, problems = values.shape
    if seeds == 1 or problems == 1:
        return 0.0
    rest = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    return float(np.square(rest).sum()) / ((seeds - 1) * (problems - 1)) / values.size


def _of_seeds(values: Values, shared: Spread) -> tuple[float, int]:
    """The part of an arm's seeds in the variance, and its degrees of freedom."""
    seeds = len(values)
    if seeds == 1:
        return shared.variance, max(shared.freedom, 1)
    own = float(values.mean(axis=1).var(ddof=1))
    return (own + shared.variance) / 2 / seeds, seeds - 1
