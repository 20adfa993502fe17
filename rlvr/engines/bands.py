"""Which slots attend together: those of about the same length, so that none reads many columns that it masks.

On a CPU a completion does not depend on its company. Its kernels compute a row alike to the bit whatever
stands beside it, as long as widths and rows are multiples of 16 (of 8 rows some processors add up one of 256
numbers in another order) and, where several threads share the work, query positions come in pairs. Several
threads cut large matrices by their rows, so there it holds for hidden sizes of a few hundred.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Columns; and how many widths lie between a power of two and the next.
UNIT, STEPS = 16, 8
# Rows are computed in multiples of it.
ROWS = 16

Band = tuple[int, int, int]


def widths(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The least width that holds each length: of a long one a fifth is in vain at most."""
    power = 2 ** np.ceil(np.log2(np.maximum(lengths, 1))).astype(np.int64)
    unit = np.maximum(UNIT, power // STEPS)
    return np.maximum(1, -(-lengths // unit)) * unit


def moves(width: NDArray[np.int64], kept: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[Any]]:
    """(sources, targets): the rows to copy, at once, so that the kept ones come first, the widest at the top.

    width, kept: [rows]. Rows that stand where one of their width may stand are not moved.
    """
    rows = kept.nonzero()[0]
    wanted = np.sort(width[rows])[::-1]
    stays = np.zeros(len(kept), dtype=bool)
    first = slice(len(rows))
    stays[first] = kept[first] & (width[first] == wanted)
    targets = (~stays[first]).nonzero()[0]
    sources = rows[~stays[rows]]
    return sources[np.argsort(-width[sources], kind="stable")], targets


def bands(width: NDArray[np.int64]) -> list[Band]:
    """(first row, row after the last, width) of each run of equal widths. width: [rows], descending."""
    ends = [0, *(np.diff(width).nonzero()[0] + 1).tolist(), len(width)]
    return [(first, last, int(width[first])) for first, last in pairwise(ends)]
