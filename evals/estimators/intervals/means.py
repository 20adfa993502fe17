"""The interval of a mean over problems, for all problems such as these."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

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
    """Where means are looked for, [...]: estimates and their standard errors, with the two problems added."""

    value: NDArray[np.float64]
    error: NDArray[np.float64]


def mean_interval(values: ArrayLike, bounds: Interval, level: float = LEVEL) -> Interval:
    """For the mean over all problems such as these: t after two more problems are added.

    values: [P], one number a problem, all within the bounds; a difference of two models is paired by giving
    the problems' differences. One of the two has the lowest and one the highest value seen or, where
    all are equal, the lowest and highest possible. As where Agresti and Coull (1998) add successes and
    failures, this moves the centre towards where a skewed distribution hides its rare values, and leaves
    a width where the problems happen to be alike. Chosen, with this weight, by simulated coverage
    (`make test-oracles`, docs/estimators.md). Raises ValueError without a problem.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or numbers.size == 0:
        raise ValueError("give one value per problem, for at least one problem")
    low, high = mean_intervals(numbers[None], bounds, level)[0]
    return Interval(float(low), float(high))


def mean_intervals(
    values: NDArray[np.float64], bounds: Interval, level: float = LEVEL
) -> NDArray[np.float64]:
    """[R, P] -> [R, 2]: `mean_interval` of each row."""
    centre = with_ends(values, *ends_of(values, bounds))
    half = quantile(values.shape[1], level) * centre.error
    own = values.mean(axis=1)
    ends = [np.minimum(centre.value - half, own), np.maximum(centre.value + half, own)]
    return np.clip(np.stack(ends, axis=1), *bounds)


def ends_of(values: NDArray[np.float64], bounds: Interval) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The lowest and the highest along the last axis; the bounds where they are equal."""
    low, high = values.min(axis=-1), values.max(axis=-1)
    alike = low == high
    return np.where(alike, bounds.low, low), np.where(alike, bounds.high, high)


def with_ends(values: NDArray[np.float64], low: ArrayLike, high: ArrayLike) -> Centre:
    """Mean and standard error of the mean along the last axis, [..., P], and of two more values, [...]."""
    count = values.shape[-1] + 2
    mean = (values.sum(axis=-1) + low + high) / count
    squares = np.square(values - mean[..., None]).sum(axis=-1) + (low - mean) ** 2 + (high - mean) ** 2
    return Centre(mean, np.sqrt(squares / (count - 1) / count))


@cache
def quantile(problems: int, level: float = LEVEL) -> float:
    """Of Student's t, with a degree of freedom for each problem but one."""
    return float(stdtrit(max(problems - 1, 1), (1 + level) / 2))
