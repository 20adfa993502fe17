"""pass@k against exact rationals, enumeration of subsets, and published values."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.estimators.passk import ks_up_to, pass_at_k


@pytest.mark.parametrize(
    ("n", "c", "k", "value"),
    [
        (4, 1, 2, 0.5),
        (8, 2, 4, 0.785714286),
        (256, 1, 128, 0.5),
        (1024, 3, 256, 0.578537569),
        (128, 2, 128, 1.0),
        (256, 0, 64, 0.0),
        (256, 0, 256, 0.0),
    ],
)
def test_published_values(n: int, c: int, k: int, value: float) -> None:
    assert pass_at_k(n, [c], k)[0] == pytest.approx(value, abs=5e-10)


@pytest.mark.parametrize("n", range(1, 8))
def test_enumeration_of_every_subset(n: int) -> None:
    for c in range(n + 1):
        right = [i < c for i in range(n)]
        for k in range(1, n + 1):
            hits = [any(right[i] for i in chosen) for chosen in combinations(range(n), k)]
            assert pass_at_k(n, [c], k)[0] == pytest.approx(np.mean(hits), abs=1e-14)


@given(st.integers(1, 1024).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_exact_rationals(case: tuple[int, int, int]) -> None:
    n, c, k = case
    exact = 1 - Fraction(comb(n - c, k), comb(n, k))
    assert abs(pass_at_k(n, [c], k)[0] - float(exact)) < 1e-12


@given(st.integers(2, 300), st.data())
def test_rises_with_k_and_with_correct(n: int, data: st.DataObject) -> None:
    c = data.draw(st.integers(0, n - 1))
    k = data.draw(st.integers(1, n - 1))
    here = pass_at_k(n, [c], k)[0]
    assert pass_at_k(n, [c], k + 1)[0] >= here
    assert pass_at_k(n, [c + 1], k)[0] >= here


def test_is_unbiased_in_simulation() -> None:
    rng = np.random.default_rng(0)
    p, n, k = 0.1, 32, 8
    estimates = pass_at_k(n, rng.binomial(n, p, size=200_000), k)
    assert estimates.mean() == pytest.approx(1 - (1 - p) ** k, abs=4 * estimates.std() / 200_000**0.5)


def test_many_problems_at_once() -> None:
    counts = np.array([0, 1, 5, 16])
    together = pass_at_k(16, counts, 4)
    assert together.tolist() == [pass_at_k(16, [c], 4)[0] for c in counts]


@pytest.mark.parametrize(("n", "c", "k"), [(4, 1, 5), (4, 1, 0), (4, 5, 1), (4, -1, 1)])
def test_refuses_what_cannot_be_estimated(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match=r"pass@|counts"):
        pass_at_k(n, [c], k)


def test_ks() -> None:
    assert ks_up_to(1) == [1]
    assert ks_up_to(8) == [1, 2, 4, 8]
    assert ks_up_to(100) == [1, 2, 4, 8, 16, 32, 64, 100]
