"""Every outcome of a sampling design, against all sequences of right and wrong."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.estimators.counts import Counts
from evals.estimators.designs import Design, designs_of, fixed_design, inverse_design
from evals.estimators.passk import pass_at_k

RATE = Fraction(3, 10)
DESIGNS = [(None, 5), (1, 1), (1, 6), (2, 6), (3, 7), (6, 6), (7, 6)]


def chances(r: int | None, n_max: int) -> dict[tuple[int, int], Fraction]:
    """(n, correct) -> exact probability at RATE, by going through all 2^n_max sequences."""
    found: Counter[tuple[int, int]] = Counter()
    for sequence in product((0, 1), repeat=n_max):
        right = np.cumsum(sequence)
        n = n_max if r is None or right[-1] < r else int(np.argmax(right == r)) + 1
        chance = Fraction(1)
        for outcome in sequence:
            chance *= RATE if outcome else 1 - RATE
        found[n, int(right[n - 1])] += chance
    return dict(found)


def design(r: int | None, n_max: int) -> Design:
    return fixed_design(n_max) if r is None else inverse_design(r, n_max)


@pytest.mark.parametrize(("r", "n_max"), DESIGNS)
def test_outcomes_have_the_chances_of_their_sequences(r: int | None, n_max: int) -> None:
    outcomes = design(r, n_max).outcomes
    keys = list(zip(outcomes.n.tolist(), outcomes.correct.tolist(), strict=True))
    assert len(set(keys)) == len(keys)
    ours = dict(zip(keys, design(r, n_max).probabilities([float(RATE)])[0], strict=True))
    assert ours == pytest.approx({key: float(p) for key, p in chances(r, n_max).items()}, abs=1e-14)


@pytest.mark.parametrize(("r", "n_max"), DESIGNS)
def test_the_estimators_are_exactly_unbiased_for_every_k(r: int | None, n_max: int) -> None:
    exact = chances(r, n_max)
    n, correct = np.array(list(exact)).T
    for k in range(1, n_max + 1):
        values = Counts(n, correct, r, n_max).pass_at_k(k)
        mean = sum(chance * Fraction(float(v)) for chance, v in zip(exact.values(), values, strict=True))
        assert abs(mean - (1 - (1 - RATE) ** k)) < 1e-13


@pytest.mark.parametrize(("r", "n_max"), DESIGNS)
def test_error_variance_is_that_over_all_sequences(r: int | None, n_max: int) -> None:
    exact = chances(r, n_max)
    n, correct = np.array(list(exact)).T
    counts, weight = Counts(n, correct, r, n_max), np.array([float(p) for p in exact.values()])
    values = counts.pass_at_k(n_max) - 0.5 * counts.pass_at_k(1)
    expected = weight @ values**2 - (weight @ values) ** 2
    ours = design(r, n_max).error_variance([float(RATE)], {n_max: 1.0, 1: -0.5})
    assert ours[0] == pytest.approx(expected, abs=1e-14)


@given(st.integers(1, 400), st.floats(0, 1))
def test_variance_of_pass_at_1_is_that_of_a_proportion(n: int, p: float) -> None:
    assert fixed_design(n).error_variance([p], {1: 1.0})[0] == pytest.approx(p * (1 - p) / n, abs=1e-12)


def test_a_design_refuses_a_k_that_it_cannot_estimate() -> None:
    with pytest.raises(ValueError, match="pass@9 needs at least 9"):
        inverse_design(2, 8).error_variance([0.5], {9: 1.0})
    with pytest.raises(ValueError, match="pass@9 needs at least 9"):
        Counts([3, 8], [2, 1], stop_r=2, n_max=8).pass_at_k(9)


def test_designs_of_counts_cover_each_problem_once() -> None:
    mixed = list(designs_of(Counts([4, 8, 4], [1, 2, 0])))
    assert [here.tolist() for _, here in mixed] == [[True, False, True], [False, True, False]]
    ((only, everywhere),) = designs_of(Counts([3, 8], [2, 1], stop_r=2, n_max=8))
    assert everywhere.all() and only.outcomes.stop_r == 2 and only.outcomes.n_max == 8


def test_mean_samples_of_the_first_success_is_the_truncated_geometric_mean() -> None:
    # (1 - q^m) / p for stopping at the first success or at m.
    assert inverse_design(1, 10).mean_samples([0.25])[0] == pytest.approx((1 - 0.75**10) / 0.25)


def test_fixed_outcomes_give_the_ordinary_estimator() -> None:
    outcomes = fixed_design(16).outcomes
    assert outcomes.pass_at_k(4).tolist() == pass_at_k(16, np.arange(17), 4).tolist()
