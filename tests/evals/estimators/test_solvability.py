"""Solvable sets: the ledger, its test, what zero successes say, and support: by hand and brute force."""

from __future__ import annotations

import itertools
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from scipy import integrate, stats

from evals.estimators.counts import Counts
from evals.estimators.solvability import (
    Ledger,
    chance_to_solve,
    equal_draws,
    expected_ledger,
    ledger,
    mcnemar,
    outcomes,
    rate_bound,
    support,
)


def test_a_problem_is_solved_by_one_success() -> None:
    assert ledger([0, 1, 3, 0, 2], [1, 0, 2, 0, 5]) == (1, 1, 2, 1)
    assert outcomes([0, 1, 3, 0], [1, 0, 2, 0]) == ["gained", "lost", "both", "neither"]


def test_draws_are_equal_where_n_is_and_where_stopping_has_the_same_bound() -> None:
    fixed = Counts(8, [0, 3])
    assert equal_draws(fixed, Counts([8, 8], [1, 1]))
    assert not equal_draws(fixed, Counts([8, 4], [1, 1]))
    stopped = Counts([2, 8], [1, 0], stop_r=1, n_max=8)
    assert equal_draws(fixed, stopped)
    assert not equal_draws(fixed, Counts([2, 16], [1, 0], stop_r=1, n_max=16))


def test_the_expected_ledger_counts_every_pair_of_subsets() -> None:
    base, policy, n, k = [1, 0, 3], [0, 2, 1], 4, 2
    subsets = list(itertools.combinations(range(n), k))
    expected = np.zeros(4)
    for b, c in zip(base, policy, strict=True):
        for ours, theirs in itertools.product(subsets, subsets):
            solved_base, solved = min(ours) < b, min(theirs) < c
            expected += [solved and not solved_base, solved_base and not solved, solved and solved_base,
                         not solved and not solved_base]  # fmt: skip
    found = expected_ledger(Counts(n, base), Counts(n, policy), k)
    assert found == pytest.approx(tuple(expected / len(subsets) ** 2))
    assert sum(found) == pytest.approx(3)


def test_at_k_equal_to_n_the_expected_ledger_is_the_ledger() -> None:
    base, policy = [0, 1, 3, 0, 2], [1, 0, 2, 0, 5]
    assert expected_ledger(Counts(8, base), Counts(8, policy), 8) == pytest.approx(ledger(base, policy))


def test_the_expected_ledger_takes_unequal_n_up_to_the_smaller() -> None:
    base, policy = Counts(16, [4, 0]), Counts(4, [1, 2])
    solves_base, solves = base.pass_at_k(4), policy.pass_at_k(4)
    assert expected_ledger(base, policy, 4).both == pytest.approx((solves_base * solves).sum())
    with pytest.raises(ValueError, match="pass@8 needs at least 8"):
        expected_ledger(base, policy, 8)


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (3, 19), (15, 5), (7, 7), (0, 30)])
def test_mcnemar_adds_up_all_splits_as_unlikely_as_the_one_seen(gained: int, lost: int) -> None:
    total = gained + lost
    tail = sum(comb(total, i) for i in range(total + 1) if comb(total, i) <= comb(total, gained))
    assert mcnemar(gained, lost) == pytest.approx(float(Fraction(tail, 2**total)))
    assert mcnemar(gained, lost) == pytest.approx(mcnemar(lost, gained))


def test_mcnemar_by_hand() -> None:
    # 1 of 5 discordant: 2 (C(5, 0) + C(5, 1)) / 32 = 12 / 32
    assert mcnemar(1, 4) == pytest.approx(0.375)


@pytest.mark.parametrize("n", [1, 8, 256])
def test_the_bound_after_no_success_has_its_closed_form(n: int) -> None:
    assert rate_bound(n) == pytest.approx(1 - 0.05 ** (1 / (n + 1)))


@pytest.mark.parametrize(("a", "b", "n", "correct"), [(0.23, 2.06, 256, 0), (1, 1, 10, 3), (2, 5, 4, 1)])
def test_the_bound_holds_its_share_of_the_posterior(a: float, b: float, n: int, correct: int) -> None:
    bound = rate_bound(n, correct, 0.95, a, b)

    def unnormalised(p: float) -> float:
        return float(p ** (a + correct - 1) * (1 - p) ** (b + n - correct - 1))

    below = integrate.quad(unnormalised, 0, bound, limit=200)[0]
    above = integrate.quad(unnormalised, bound, 1, limit=200)[0]
    assert below / (below + above) == pytest.approx(0.95, abs=1e-6)


def test_a_prior_of_hard_problems_lowers_the_bound() -> None:
    assert rate_bound(256, a=0.23, b=2.06) < rate_bound(256) < rate_bound(64)


@pytest.mark.parametrize(("n", "draws"), [(8, 8), (256, 256), (16, 1)])
def test_the_chance_of_a_first_success_under_the_uniform_prior(n: int, draws: int) -> None:
    # Laplace's rule of succession, applied `draws` times.
    still_nothing = np.prod([(n + i + 1) / (n + i + 2) for i in range(draws)])
    assert chance_to_solve(n, draws) == pytest.approx(1 - still_nothing)
    assert chance_to_solve(n, draws) == pytest.approx(draws / (n + 1 + draws))


def test_the_chance_of_a_success_agrees_with_the_beta_binomial() -> None:
    n, draws, correct, a, b = 32, 20, 2, 0.4, 3.0
    nothing = stats.betabinom.pmf(0, draws, a + correct, b + n - correct)
    assert chance_to_solve(n, draws, correct, a, b) == pytest.approx(1 - nothing)


def test_support_by_hand() -> None:
    # P = 6, E = 2, S = 3: SRR = 2/3, NDR = 1/4, SDS = 2 (2/3) (1/4) / (2/3 + 1/4), NSCR = -1/11
    found = support(Ledger(gained=2, lost=3, both=6, neither=9))
    assert found == pytest.approx((2 / 3, 1 / 4, 4 / 11, -1 / 11))


def test_support_without_a_denominator_is_none() -> None:
    assert support(Ledger(gained=0, lost=0, both=0, neither=4)) == (None, None, None, None)
    assert support(Ledger(gained=0, lost=5, both=0, neither=0)) == (0.0, None, None, -1.0)
    assert support(Ledger(gained=2, lost=5, both=0, neither=0)).sds == 0.0
