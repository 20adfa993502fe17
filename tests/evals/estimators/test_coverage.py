"""How often the 95 % intervals hold what they are for, over simulated measurements. docs/estimators.md has
the figures."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from evals.estimators.counts import Counts
from evals.estimators.gap import gap, mean_pass_at_k
from evals.estimators.intervals import Estimate, bootstrap_mean

K = 256
Rates = NDArray[np.float64]
Shape = Callable[[np.random.Generator, int], Rates]


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their quantiles are noisier, at random, and time is left for more simulations."""
    monkeypatch.setattr("evals.estimators.gap.bootstrap_mean", partial(bootstrap_mean, resamples=1000))


def beta(rng: np.random.Generator, problems: int) -> Rates:
    return rng.beta(0.23, 2.06, problems)


def two_peaks(rng: np.random.Generator, problems: int) -> Rates:
    """Hard problems near 1/400, easy ones near 0.8."""
    return np.where(rng.random(problems) < 0.5, rng.beta(0.5, 200, problems), rng.beta(8, 2, problems))


def some_impossible(rng: np.random.Generator, problems: int) -> Rates:
    return np.where(rng.random(problems) < 0.2, 0.0, rng.beta(0.5, 2, problems))


def solved(rates: Rates, k: int) -> Rates:
    return 1 - (1 - rates) ** k


def coverage(
    simulations: int,
    shape: Shape,
    estimate: Callable[[Rates, np.random.Generator], Estimate],
    value: Callable[[Rates], Rates],
    problems: int = 500,
) -> tuple[float, float]:
    """Shares of the intervals for new and for these problems that hold the mean over the population and
    over the problems that were drawn."""
    rng = np.random.default_rng(20)
    population = value(shape(rng, 2_000_000)).mean()
    hits = np.empty((simulations, 2))
    for row in hits:
        rates = shape(rng, problems)
        found, own = estimate(rates, rng), value(rates).mean()
        row[0] = found.new_problems.low <= population <= found.new_problems.high
        row[1] = found.these_problems.low <= own <= found.these_problems.high
    new, these = hits.mean(axis=0)
    return float(new), float(these)


def measured_at_k(n: int) -> Callable[[Rates, np.random.Generator], Estimate]:
    return lambda rates, rng: mean_pass_at_k(Counts(n, rng.binomial(n, rates)), K)


def measured_gap(rates: Rates, rng: np.random.Generator) -> Estimate:
    """The policy is a sharper base: every rate is its square root."""
    base, policy = Counts(512, rng.binomial(512, rates)), Counts(512, rng.binomial(512, np.sqrt(rates)))
    return gap(base, policy, K)


@pytest.mark.slow
@pytest.mark.parametrize("n", [512, K])
def test_both_intervals_of_pass_at_256(n: int) -> None:
    new, these = coverage(1000, beta, measured_at_k(n), lambda rates: solved(rates, K))
    assert 0.93 <= new <= 0.97
    assert 0.90 <= these <= 0.98


@pytest.mark.slow
def test_both_intervals_of_the_gap() -> None:
    new, these = coverage(1000, beta, measured_gap, lambda rates: solved(rates, K) - np.sqrt(rates))
    assert 0.93 <= new <= 0.97
    assert 0.90 <= these <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "n"), [(two_peaks, 512), (some_impossible, 512), (some_impossible, K)])
def test_intervals_hold_where_difficulty_is_not_beta(shape: Shape, n: int) -> None:
    new, these = coverage(500, shape, measured_at_k(n), lambda rates: solved(rates, K))
    assert 0.91 <= new <= 0.98
    assert 0.90 <= these <= 0.99
