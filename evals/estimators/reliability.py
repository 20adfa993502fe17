"""How surely problems are solved: the distribution of per-problem accuracy, and success in all of k draws.

All of these need a fixed number of samples: under stopping at the r-th success, c / n is biased upwards.
Every function raises ValueError for counts that were stopped.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evals.estimators.counts import Counts
from evals.estimators.passk import pass_at_k

# Bins of arXiv 2504.13837, accuracy distribution: closed on the right, but 0 and 1 stand alone.
BINS = ("0", *(f"({i / 10:.1f}, {(i + 1) / 10:.1f}]" for i in range(9)), "(0.9, 1)", "1")
# Keeps tau * n = 55.00000000000001 from asking for 56.
ROUNDING = 1e-9


def histogram(counts: Counts) -> NDArray[np.int64]:
    """[12]: problems in each of `BINS` by accuracy c / n; exact at the edges."""
    n, correct = _fixed(counts)
    tenths = -(-10 * correct // n)
    return np.bincount(np.where(correct == n, len(BINS) - 1, tenths), minlength=len(BINS))


def cover(counts: Counts, tau: float) -> NDArray[np.bool_]:
    """[P]: whether at least a share tau of a problem's samples is right; the mean is Cover@tau:
    arXiv 2510.08325, G(tau) = share of problems with p >= tau, with c / n for p."""
    n, correct = _fixed(counts)
    _check_share(tau)
    return correct >= tau * n - ROUNDING


def all_correct(counts: Counts, k: int) -> NDArray[np.float64]:
    """[P]: pass^k, the chance that k samples are all right, unbiased: C(c, k) / C(n, k), arXiv 2406.12045."""
    n, correct = _fixed(counts)
    return 1.0 - pass_at_k(n, n - correct, k)


def g_pass(counts: Counts, k: int, tau: float) -> NDArray[np.float64]:
    """[P]: G-Pass@k_tau, the chance that at least ceil(tau k) of k samples are right: arXiv 2412.13147,
    sum over j >= ceil(tau k) of C(c, j) C(n - c, k - j) / C(n, k). tau = 1 is pass^k."""
    n, correct = _fixed(counts)
    _check_share(tau)
    return _at_least(n, correct, k, max(1, math.ceil(tau * k - ROUNDING)))


def mean_g_pass(counts: Counts, k: int) -> NDArray[np.float64]:
    """[P]: mG-Pass@k = 2 / k times the sum of G-Pass@k_(i/k), i = ceil(k / 2) + 1 .. k: arXiv 2412.13147.

    For even k it is twice the area under G-Pass@k_tau over tau in 0.5 .. 1; for odd k the paper's sum
    leaves out half a step. Raises ValueError for k below 2, where the sum is empty.
    """
    if k < 2:
        raise ValueError(f"mG-Pass@{k}: it is defined for k of 2 or more")
    n, correct = _fixed(counts)
    steps = range(math.ceil(k / 2) + 1, k + 1)
    return 2 / k * np.sum([_at_least(n, correct, k, i) for i in steps], axis=0)


def _at_least(n: NDArray[np.int64], correct: NDArray[np.int64], k: int, wanted: int) -> NDArray[np.float64]:
    """[P]: the chance that k of the n samples hold so many of the correct ones."""
    if not 1 <= k <= n.min():
        raise ValueError(f"k = {k} needs as many samples of each problem, there are {n.min()}")
    return np.asarray(stats.hypergeom.sf(wanted - 1, n, correct, k))


def _fixed(counts: Counts) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if counts.stop_r is not None:
        raise ValueError("reliability needs a fixed number of samples, these were stopped at a success")
    return counts.n, counts.correct


def _check_share(tau: float) -> None:
    if not 0 < tau <= 1:
        raise ValueError(f"tau = {tau} must lie above 0 and at most at 1")
