"""Resamples of problems, for what has no interval of its own kind. The same seed gives the same ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 10_000
# Resamples that are drawn together: bounds the memory at 8 bytes x BLOCK x problems.
BLOCK = 1_000


def resampled_means(values: ArrayLike, resamples: int = RESAMPLES, seed: int = 0) -> NDArray[np.float64]:
    """Means over problems that are drawn with replacement: [P] -> [R], [P, M] -> [R, M]. Efron and
    Tibshirani 1993, ch. 6.

    The M columns of one resample are means over the same problems. Drawing how often each different row
    occurs is the same as drawing problems, and counts make few different rows.
    """
    rows, copies = np.unique(np.asarray(values, dtype=np.float64), axis=0, return_counts=True)
    problems = int(copies.sum())
    generator = np.random.default_rng(seed)
    blocks = [min(BLOCK, resamples - start) for start in range(0, resamples, BLOCK)]
    drawn = [generator.multinomial(problems, copies / problems, size) @ rows for size in blocks]
    return np.concatenate(drawn) / problems
