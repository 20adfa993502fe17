"""Cutting a batch into micro-batches by a token budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rlvr.algorithms.batch import TokenBatch

# What a micro-batch costs beside its tokens, as a share of the budget: a pass over all weights.
PASS_SHARE = 1 / 16

Ints = NDArray[np.int64]


def packed_rows(batch: TokenBatch, max_tokens: int, parts: int = 1) -> list[Tensor]:
    """Row indices of micro-batches for `rlvr.learning.packing.PackedRows`: as few as the budget allows, but
    not fewer than `parts`, if there are as many rows; and of about the same number of tokens.

    Each has at most max_tokens, unless it is a single row. Groups stand together, so that few prompts are
    computed twice; those with the longest completions come first.
    """
    prompts = batch.prompt_len.cpu().numpy()
    own = np.maximum(batch.completion_len.cpu().numpy() - 1, 0)
    labels, group = np.unique(batch.group.cpu().numpy(), return_inverse=True)
    longest = np.zeros(len(labels), np.int64)
    np.maximum.at(longest, group, own)
    order = np.lexsort((-own, group, -longest[group]))
    rows = list(zip(group[order].tolist(), prompts[order].tolist(), own[order].tolist(), strict=True))

    def ends(capacity: int) -> list[int]:
        return _full(rows, capacity)

    most = max(len(ends(max_tokens)), min(parts, len(rows)))
    low, high = 1, max(max_tokens, 1)  # the least capacity that needs no more micro-batches
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if len(ends(middle)) <= most else (middle + 1, high)
    found = ends(low)
    begins = [0, *found[:-1]]
    while len(found) < most:  # equal rows: no capacity gives exactly as many
        widest = max(range(len(found)), key=lambda i: found[i] - begins[i])
        found.insert(widest, (begins[widest] + found[widest]) // 2)
        begins = [0, *found[:-1]]
    return [torch.from_numpy(part).to(batch.tokens.device) for part in np.split(order, found[:-1])]


def _full(rows: Sequence[tuple[int, int, int]], capacity: int) -> list[int]:
    """Where micro-batches end that are filled one after another. rows: (group, its prompt, own tokens)."""
    ends, tokens, last = [], 0, -1
    for at, (group, prompt, own) in enumerate(rows):
        more = own if group == last else prompt + own
        if at and tokens + more > capacity:
            ends.append(at)
            tokens, more = 0, prompt + own
        tokens, last = tokens + more, group
    return [*ends, len(rows)]


def padded_rows(batch: TokenBatch, max_tokens: int) -> list[Tensor]:
    """Row indices of micro-batches, each of at most max_tokens with its padding, unless it is a single row.

    Rows are sorted by completion length and cut where tokens, padding included, and passes cost least.
    """
    prompts, completions = batch.prompt_len.cpu().numpy(), batch.completion_len.cpu().numpy()
    order = np.lexsort((-prompts, -completions))

    def tokens(rows: Ints, prompt: Ints, completion: Ints) -> NDArray[np.float64]:
        padded = rows * (prompt + completion)
        return np.where((padded <= max_tokens) | (rows == 1), padded, np.inf)

    ends = cheapest_cuts(prompts[order], completions[order], tokens, PASS_SHARE * max_tokens)
    return [torch.from_numpy(rows).to(batch.tokens.device) for rows in np.split(order, ends)]


def cheapest_cuts(
    first: Ints, second: Ints, cost: Callable[[Ints, Ints, Ints], NDArray[np.float64]], each: float
) -> list[int]:
    """Where to cut rows in their order, by the cheapest way to cut the first 1, 2, ... of them.

    cost: of (number of rows, widest by `first`, widest by `second`), elementwise. each: of a part, besides.
    """
    rows = len(first)
    total = np.zeros(rows + 1)  # of the first so many rows
    begin = np.zeros(rows + 1, np.int64)  # of their last part
    wide, deep = np.zeros(rows, np.int64), np.zeros(rows, np.int64)  # widest, by where it begins
    for last in range(rows):
        np.maximum(wide[: last + 1], first[last], out=wide[: last + 1])
        np.maximum(deep[: last + 1], second[last], out=deep[: last + 1])
        sizes = np.arange(last + 1, 0, -1)
        found = total[: last + 1] + cost(sizes, wide[: last + 1], deep[: last + 1]) + each
        begin[last + 1] = found.argmin()
        total[last + 1] = found.min()
    ends = []
    end = begin[rows]
    while end > 0:
        ends.append(int(end))
        end = begin[end]
    return ends[::-1]
