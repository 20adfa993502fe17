"""Accuracy histograms, Cover@tau, pass^k and G-Pass@k: by hand and over all subsets."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from evals.estimators.counts import Counts
from evals.estimators.reliability import BINS, all_correct, cover, g_pass, histogram, mean_g_pass


def share_of_subsets(n: int, c: int, k: int, wanted: int) -> float:
    """Of all subsets of k of n samples, the first c right, the share with so many right."""
    subsets = list(itertools.combinations(range(n), k))
    return sum(sum(i < c for i in subset) >= wanted for subset in subsets) / len(subsets)


CASES = [(n, c, k) for n in (4, 7) for c in range(n + 1) for k in range(1, n + 1)]


@pytest.mark.parametrize(("n", "c", "k"), CASES)
def test_they_average_over_all_subsets(n: int, c: int, k: int) -> None:
    counts = Counts(n, [c])
    assert all_correct(counts, k)[0] == pytest.approx(share_of_subsets(n, c, k, k))
    for tau in (0.25, 0.5, 0.75, 1.0):
        assert g_pass(counts, k, tau)[0] == pytest.approx(share_of_subsets(n, c, k, math.ceil(tau * k)))


@pytest.mark.parametrize("k", [2, 4, 6])
def test_mg_pass_is_twice_the_area_above_one_half(k: int) -> None:
    counts = Counts(8, [0, 3, 5, 8])
    middles = 0.5 + (np.arange(600) + 0.5) / 1200
    area = np.mean([g_pass(counts, k, tau) for tau in middles], axis=0)
    assert mean_g_pass(counts, k) == pytest.approx(area)


def test_mg_pass_by_hand_for_an_odd_k() -> None:
    # k = 3: 2/3 of G-Pass@3_1 alone, which is 1 where all are right.
    assert mean_g_pass(Counts(5, [5]), 3) == pytest.approx(2 / 3)


def test_a_small_share_still_asks_for_one_success() -> None:
    counts = Counts(8, [0, 1, 4])
    assert g_pass(counts, 4, 0.01) == pytest.approx(counts.pass_at_k(4))


def test_a_share_of_k_that_is_whole_is_not_rounded_up() -> None:
    # 0.55 * 100 is 55.00000000000001 in floating point
    assert g_pass(Counts(100, [55]), 100, 0.55)[0] == 1.0
    assert cover(Counts(100, [55, 54]), 0.55).tolist() == [True, False]


def test_cover_by_hand() -> None:
    counts = Counts(4, [0, 1, 2, 4])
    assert [float(cover(counts, tau).mean()) for tau in (0.1, 0.25, 0.5, 0.75, 1.0)] == [
        0.75, 0.75, 0.5, 0.25, 0.25,
    ]  # fmt: skip


def test_bins_are_closed_on_the_right_and_0_and_1_stand_alone() -> None:
    n = 1000
    correct = [0, 1, 100, 101, 300, 301, 900, 901, 999, 1000]
    expected = dict.fromkeys(BINS, 0) | {
        "0": 1, "(0.0, 0.1]": 2, "(0.1, 0.2]": 1, "(0.2, 0.3]": 1, "(0.3, 0.4]": 1, "(0.8, 0.9]": 1,
        "(0.9, 1)": 2, "1": 1,
    }  # fmt: skip
    assert dict(zip(BINS, histogram(Counts(n, correct)).tolist(), strict=True)) == expected


def test_the_histogram_counts_every_problem_once() -> None:
    counts = Counts(256, np.arange(257))
    found = histogram(counts)
    assert found.sum() == 257 and found[0] == found[-1] == 1


@pytest.mark.parametrize(
    "estimate",
    [histogram, lambda c: cover(c, 0.5), lambda c: all_correct(c, 1), lambda c: g_pass(c, 1, 1.0)],
)
def test_counts_that_were_stopped_are_refused(estimate: Callable[[Counts], object]) -> None:
    with pytest.raises(ValueError, match="stopped at a success"):
        estimate(Counts([3, 8], [1, 0], stop_r=1, n_max=8))


@pytest.mark.parametrize("tau", [0.0, -0.5, 1.1])
def test_a_share_outside_0_and_1_is_refused(tau: float) -> None:
    with pytest.raises(ValueError, match="tau"):
        cover(Counts(4, [1]), tau)


def test_k_outside_the_samples_is_refused() -> None:
    counts = Counts([8, 4], [1, 1])
    with pytest.raises(ValueError, match="there are 4"):
        g_pass(counts, 8, 0.5)
    with pytest.raises(ValueError, match="2 or more"):
        mean_g_pass(counts, 1)
