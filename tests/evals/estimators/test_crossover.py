"""The crossover k*: a published pair of curves, by hand, and against curves at every integer k."""

from __future__ import annotations

import numpy as np
import pytest

from evals.estimators.counts import Counts
from evals.estimators.crossover import crossover, crossover_of_curves

KS = [1, 2, 4, 8, 16, 32, 64, 128]


def pair(problems: int = 300, n: int = 128) -> tuple[Counts, Counts]:
    """A policy that is sharper than its base and solves fewer problems."""
    rng = np.random.default_rng(0)
    rates = rng.beta(0.6, 0.6, problems)
    lost = rng.random(problems) < 0.1
    return Counts(n, rng.binomial(n, rates)), Counts(n, rng.binomial(n, np.where(lost, 0, rates**0.5)))


def test_the_independent_reproduction_of_the_study_crosses_between_8_and_16() -> None:
    base = [61.39, 73.41, 81.44, 86.82, 90.43, 92.93, 94.74, 96.20]
    policy = [77.93, 82.36, 85.68, 88.30, 90.22, 91.51, 92.35, 93.00]
    k = crossover_of_curves(KS, base, policy)
    # -1.48 at 8 and +0.21 at 16: 2^(3 + 1.48 / 1.69)
    assert k == pytest.approx(2 ** (3 + 1.48 / 1.69)) and 8 < k < 16


def test_curves_that_touch_start_level_or_never_meet() -> None:
    assert crossover_of_curves([1, 2, 4], [0.1, 0.3, 0.5], [0.2, 0.3, 0.4]) == 2
    assert crossover_of_curves([1, 2, 4], [0.2, 0.3, 0.4], [0.2, 0.5, 0.6]) == 1
    assert crossover_of_curves([1, 2, 4], [0.1, 0.2, 0.3], [0.2, 0.3, 0.4]) is None


def test_the_first_of_several_crossings_counts() -> None:
    assert crossover_of_curves([1, 2, 4, 8], [0.1, 0.4, 0.4, 0.9], [0.2, 0.3, 0.5, 0.6]) == pytest.approx(
        2**0.5
    )


@pytest.mark.parametrize(("ks", "base"), [([], []), ([2, 1], [0, 0]), ([0, 1], [0, 0]), ([1, 2], [0.5])])
def test_refuses_ks_and_curves_that_do_not_fit(ks: list[int], base: list[float]) -> None:
    with pytest.raises(ValueError, match="ks"):
        crossover_of_curves(ks, base, base)


def test_interpolation_is_within_one_of_the_smallest_integer_k() -> None:
    base, policy = pair()
    found = crossover(base, policy)
    curve = [float((base.pass_at_k(k) - policy.pass_at_k(k)).mean()) for k in range(1, 129)]
    exact = next(k for k, lead in enumerate(curve, start=1) if lead >= 0)
    assert found.k is not None and exact > 2 and abs(found.k - exact) <= 1


def test_interval_is_near_that_of_resampling_problem_by_problem() -> None:
    base, policy = pair()
    found = crossover(base, policy)
    rng = np.random.default_rng(9)
    curves = [np.stack([side.pass_at_k(k) for k in KS], axis=1) for side in (base, policy)]
    drawn = []
    for _ in range(2000):
        rows = rng.integers(len(base), size=len(base))
        one, other = (curve[rows].mean(axis=0) for curve in curves)
        drawn.append(crossover_of_curves(KS, one, other) or np.inf)
    low, high = np.quantile(drawn, [0.025, 0.975], method="nearest")
    assert found.low == pytest.approx(low, rel=0.15) and found.high == pytest.approx(high, rel=0.15)
    assert found.share_without == pytest.approx(np.isinf(drawn).mean(), abs=0.01)


def test_resamples_without_a_crossing_leave_the_interval_open() -> None:
    """3 problems of 20 lost at k = n and 2 gained: many resamples have no crossing."""
    base = Counts(8, np.repeat([1, 1, 0, 0], [8, 3, 2, 7]))
    policy = Counts(8, np.repeat([6, 0, 6, 0], [8, 3, 2, 7]))
    found = crossover(base, policy)
    assert found.k is not None and found.low is not None and found.high is None
    assert 0.05 < found.share_without < 0.6 and found.k_max == 8


def test_no_crossing_at_all() -> None:
    found = crossover(Counts(4, [0, 0, 0]), Counts(16, [16, 9, 16]))
    assert found == (None, None, None, 1.0, 4)
