"""pass@k: the chance that at least one of k samples is correct."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pass_at_k(n: ArrayLike, correct: ArrayLike, k: int) -> NDArray[np.float64]:
    """Unbiased pass@k of each problem, 1 - C(n-c, k) / C(n, k): arXiv 2107.03374, eq. 1.

    n: samples, one number for all or [problems]; correct: [problems] how many were right; returns
    [problems]. Raises ValueError for k > n, where no unbiased estimator exists, and for counts outside
    0..n.
    """
    counts = np.asarray(correct, dtype=np.int64)
    sizes = np.broadcast_to(np.asarray(n, dtype=np.int64), counts.shape)
    least = int(np.min(n))
    if not 1 <= k <= least:
        raise ValueError(f"pass@{k} needs at least {k} samples per problem, there are {least}")
    if counts.size and not (counts.min() >= 0 and (counts <= sizes).all()):
        raise ValueError("correct counts must lie in 0..n")
    result = np.empty(counts.shape)
    for size in np.unique(sizes):
        here = sizes == size
        result[here] = 1.0 - _all_wrong(int(size), k)[counts[here]]
    return result


def inverse_pass_at_k(n: ArrayLike, correct: ArrayLike, r: int, k: int) -> NDArray[np.float64]:
    """Unbiased pass@k of problems that were sampled until their r-th success, or until n_max.

    n: [problems] the draw, in issue order, at which the r-th success came (correct == r), or n_max
    (correct < r). Stopped at N: 1 - C(N-1-k, r-1) / C(N-1, r-1), the Rao-Blackwell estimator given N,
    since the first N-1 draws hold r-1 successes in any order; 1 where N-1-k < r-1. At n_max with fewer
    than r: the ordinary estimator. Requires k <= n_max.
    """
    sizes, counts = np.asarray(n, dtype=np.int64), np.asarray(correct, dtype=np.int64)
    stopped = counts == r
    result = np.empty(counts.shape)
    if (~stopped).any():
        result[~stopped] = pass_at_k(sizes[~stopped], counts[~stopped], k)
    before = sizes[stopped] - 1
    result[stopped] = 1.0 - _ratio_of_binomials(before, before - k, r - 1)
    return result


def ks_up_to(n: int) -> list[int]:
    """1, 2, 4, ... and n itself."""
    powers = [2**i for i in range(n.bit_length()) if 2**i <= n]
    return powers if powers[-1] == n else [*powers, n]


def _all_wrong(n: int, k: int) -> NDArray[np.float64]:
    """C(n-c, k) / C(n, k) for c = 0..n, by the recurrence q(c+1) = q(c) (n-c-k) / (n-c)."""
    c = np.arange(n)
    return np.concatenate([[1.0], np.cumprod(np.maximum(n - c - k, 0) / (n - c))])


def _ratio_of_binomials(whole: NDArray[np.int64], part: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    """[P]: C(part, size) / C(whole, size) as a product of `size` factors; 0 where part < size."""
    i = np.arange(size)
    ratios = ((part[:, None] - i) / (whole[:, None] - i)).prod(axis=1)
    return np.where(part < size, 0.0, ratios)
