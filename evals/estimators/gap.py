"""The sampling-efficiency gap and what goes with it: arXiv 2504.13837, section 4.3."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from evals.estimators.intervals import Interval, bootstrap_mean
from evals.estimators.passk import pass_at_k


class Estimate(NamedTuple):
    """A mean over problems with its 95 % paired bootstrap interval over problems."""

    value: float
    interval: Interval


def sampling_efficiency_gap(
    base_n: int, base_correct: ArrayLike, n: int, correct: ArrayLike, k: int
) -> Estimate:
    """Base pass@k minus policy pass@1; positive, lower is better.

    base_correct, correct: [problems], the same problems in the same order, of base_n and n samples.
    """
    return _mean(pass_at_k(base_n, base_correct, k) - pass_at_k(n, correct, 1))


def pass_at_1_change(base_n: int, base_correct: ArrayLike, n: int, correct: ArrayLike) -> Estimate:
    """Policy pass@1 minus base pass@1."""
    return _mean(pass_at_k(n, correct, 1) - pass_at_k(base_n, base_correct, 1))


def closed_fraction(base_at_1: float, base_at_k: float, policy_at_1: float) -> float | None:
    """(policy@1 - base@1) / (base@K - base@1); None where the base has nothing to close."""
    room = base_at_k - base_at_1
    return (policy_at_1 - base_at_1) / room if room > 0 else None


def _mean(values: np.ndarray) -> Estimate:
    return Estimate(float(values.mean()), bootstrap_mean(values))
