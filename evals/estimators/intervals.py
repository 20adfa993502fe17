"""Intervals for means over problems."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

RESAMPLES = 10_000


class Interval(NamedTuple):
    low: float
    high: float


def bootstrap_mean(
    values: ArrayLike, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
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
    generator = np.random.default_rng(seed)
    shares = generator.multinomial(numbers.size, np.full(numbers.size, 1 / numbers.size), resamples)
    means = shares @ numbers / numbers.size
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(low), float(high))
