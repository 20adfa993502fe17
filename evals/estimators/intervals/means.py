"""The interval of a mean over problems, for all problems such as these."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

LEVEL = 0.95
# How records say that their intervals were made as here; records without it have percentile bootstraps.
METHOD = "t, two problems added"
# With fewer problems no interval here can be relied on for rare values; see docs/estimators.md.
FEW_PROBLEMS = 50


class Interval(NamedTuple):
    low: float
    high: float


# What a share, and what a difference of two shares, can be.
SHARE = Interval(0.0, 1.0)
DIFFERENCE = Interval(-1.0, 1.0)


class Estimate(NamedTuple):
    """A mean over problems, estimated without bias, with two 95 % intervals.

    new_problems: for the mean over all problems such as these; problems and samples are both random.
    these_problems: for the mean over just these problems, with unlimited samples of each; only the
    samples are random.
    """

    value: float
    new_problems: Interval
    these_problems: Interval


class Centre(NamedTuple):
    """Where a mean is looked for: an estimate and its standard error, both with the two problems added."""

    value: float
    error: float


def mean_interval(values: ArrayLike, bounds: Interval, level: float = LEVEL) -> Interval:
    """For the mean over all problems such as these: t after two more problems are added.

    values: [P], one number a problem, all within the bounds; a difference of two models is paired by giving
    the problems' differences. One of the two has the lowest and one the highest value seen or, where
    all are equal, the lowest and highest possible. As where Agresti and Coull (1998) add successes and
    failures, this moves the centre towards where a skewed distribution hides its rare values, and leaves
    a width where the problems happen to be alike. Chosen, with this weight, by simulated coverage
    (`make test-oracles`, docs/estimators.md). Raises ValueError without a problem.
    """
    numbers = _checked(values)
    low, high = float(numbers.min()), float(numbers.max())
    ends = Interval(low, high) if low < high else bounds
    centre = with_ends(numbers, ends)
    half = quantile(numbers.size, level) * centre.error
    value = float(numbers.mean())
    return Interval(
        max(min(centre.value - half, value), bounds.low), min(max(centre.value + half, value), bounds.high)
    )


def with_ends(numbers: NDArray[np.float64], ends: Interval) -> Centre:
    """Mean and standard error of the mean of these numbers and two more."""
    count = numbers.size + 2
    mean = (numbers.sum() + sum(ends)) / count
    squares = np.square(numbers - mean).sum() + sum((end - mean) ** 2 for end in ends)
    return Centre(float(mean), float(np.sqrt(squares / (count - 1) / count)))


def quantile(problems: int, level: float = LEVEL) -> float:
    """Of Student's t, with a degree of freedom for each problem but one."""
    return float(stats.t.ppf((1 + level) / 2, max(problems - 1, 1)))


def _checked(values: ArrayLike) -> NDArray[np.float64]:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or numbers.size == 0:
        raise ValueError("give one value per problem, for at least one problem")
    return numbers
