"""pass@k: the chance that at least one of k samples is correct."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pass_at_k(n: int, correct: ArrayLike, k: int) -> NDArray[np.float64]:
    """Unbiased pass@k of each problem, 1 - C(n-c, k) / C(n, k): arXiv 2107.03374, eq. 1.

    n: samples per problem; correct: [problems] how many were right; returns [problems].
    Raises ValueError for k > n, where no unbiased estimator exists, and for counts outside 0..n.
    """
    counts = np.asarray(correct, dtype=np.int64)
    if not 1 <= k <= n:
        raise ValueError(f"pass@{k} needs at least {k} samples per problem, there are {n}")
    if counts.size and not (counts.min() >= 0 and counts.max() <= n):
        raise ValueError(f"correct counts must lie in 0..{n}")
    return 1.0 - _all_wrong(n, k)[counts]


def ks_up_to(n: int) -> list[int]:
    """1, 2, 4, ... and n itself."""
    powers = [2**i for i in range(n.bit_length()) if 2**i <= n]
    return powers if powers[-1] == n else [*powers, n]


def _all_wrong(n: int, k: int) -> NDArray[np.float64]:
    """C(n-c, k) / C(n, k) for c = 0..n, by the recurrence q(c+1) = q(c) (n-c-k) / (n-c)."""
    c = np.arange(n)
    return np.concatenate([[1.0], np.cumprod(np.maximum(n - c - k, 0) / (n - c))])
