"""Sampling until the r-th success: exact values, what stopping in the wrong order does, and what it saves."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from evals.estimators.counts import Counts
from evals.estimators.designs import inverse_efficiency
from evals.estimators.passk import inverse_pass_at_k


@given(st.integers(1, 1024).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n), st.integers(1, 1024))))
def test_stopped_problems_against_exact_rationals(case: tuple[int, int, int]) -> None:
    n, r, k = case
    first_k_wrong = comb(n - 1 - k, r - 1) if k < n else 0
    exact = 1 - Fraction(first_k_wrong, comb(n - 1, r - 1))
    assert abs(inverse_pass_at_k([n], [r], r, k)[0] - float(exact)) < 1e-12


@given(st.integers(1, 1024).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_unfinished_problems_against_exact_rationals(case: tuple[int, int, int]) -> None:
    n, c, k = case
    exact = 1 - Fraction(comb(n - c, k), comb(n, k))
    assert abs(inverse_pass_at_k([n], [c], c + 1, k)[0] - float(exact)) < 1e-12


def stopped(right: NDArray[np.bool_], r: int) -> Counts:
    """[problems, n_max] samples in the order in which they are counted -> counts at the r-th success."""
    n_max = right.shape[1]
    reached = right.cumsum(axis=1)
    n = np.where(reached[:, -1] >= r, (reached >= r).argmax(axis=1) + 1, n_max)
    return Counts(n, np.minimum(reached[:, -1], r), stop_r=r, n_max=n_max)


@pytest.mark.parametrize("k", [1, 7, 32, 64])
@pytest.mark.parametrize("r", [1, 3])
def test_unbiased_up_to_n_max_in_simulation(r: int, k: int) -> None:
    right = np.random.default_rng(r).random((100_000, 64)) < 0.03
    values = stopped(right, r).pass_at_k(k)
    assert values.mean() == pytest.approx(1 - 0.97**k, abs=4 * values.std() / len(values) ** 0.5)


def test_stopping_in_order_of_completion_is_biased_and_in_order_of_issue_is_not() -> None:
    """All samples are issued at once and right answers are shorter: they arrive first."""
    rng = np.random.default_rng(0)
    p, n_max, r = 0.1, 64, 2
    right = rng.random((20_000, n_max)) < p
    seconds = rng.gamma(4.0, np.where(right, 1.0, 4.0))
    arrived = np.take_along_axis(right, seconds.argsort(axis=1), axis=1)
    truth = 1 - (1 - p) ** 8  # 0.57
    by_issue, by_completion = (stopped(order, r).pass_at_k(8) for order in (right, arrived))
    assert by_issue.mean() == pytest.approx(truth, abs=4 * by_issue.std() / len(right) ** 0.5)
    assert by_completion.mean() > truth + 0.35


def test_efficiency_refuses_fewer_samples_than_k() -> None:
    with pytest.raises(ValueError, match="pass@256 needs at least 256"):
        inverse_efficiency([0.5, 0.4], r=2, n_max=512, k=256)


@pytest.mark.slow
def test_inverse_sampling_trades_pass_at_1_for_pass_at_256() -> None:
    """At equal samples; the exact errors against simulated ones."""
    rng = np.random.default_rng(5)
    rates, r, n_max, rounds = rng.beta(0.23, 2.06, 500), 8, 512, 300
    errors: dict[tuple[str, int], list[float]] = {}
    predicted = {k: inverse_efficiency(rates, r, n_max, k) for k in (1, 256)}
    for _ in range(rounds):
        until_r = stopped(rng.random((500, n_max)) < rates[:, None], r)
        fixed = Counts(predicted[1].fixed_n, rng.binomial(predicted[1].fixed_n, rates))
        for k in predicted:
            truth = np.mean(1 - (1 - rates) ** k)
            errors.setdefault(("inverse", k), []).append(until_r.pass_at_k(k).mean() - truth)
            errors.setdefault(("fixed", k), []).append(fixed.pass_at_k(k).mean() - truth)
    for k, exact in predicted.items():
        for name, error in (("inverse", exact.inverse), ("fixed", exact.fixed)):
            assert np.std(errors[name, k]) == pytest.approx(error, rel=4 / (2 * rounds) ** 0.5)
    assert 3.0 < 1 / predicted[1].relative < 4.0
    assert 1.3 < predicted[256].relative < 1.6
