"""Cutting a batch into micro-batches by a token budget."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rlvr.algorithms.batch import TokenBatch

B = TypeVar("B", bound=TokenBatch)

# What a micro-batch costs beside its tokens, as a share of the budget: a pass over all weights.
PASS_SHARE = 1 / 16


def micro_batch_rows(batch: TokenBatch, max_tokens: int) -> list[Tensor]:
    """Row indices of micro-batches, each of at most max_tokens with its padding, unless it is a single row.

    Rows are sorted by completion length and cut where tokens, padding included, and passes cost least.
    """
    prompts, completions = batch.prompt_len.cpu().numpy(), batch.completion_len.cpu().numpy()
    order = np.lexsort((-prompts, -completions))
    ends = _cuts(prompts[order], completions[order], max_tokens)
    return [torch.from_numpy(rows).to(batch.tokens.device) for rows in np.split(order, ends)]


def micro_batches(batch: B, max_tokens: int) -> list[B]:
    """The batch cut into micro-batches, which together hold every row once."""
    return [batch.select(rows) for rows in micro_batch_rows(batch, max_tokens)]


def _cuts(prompts: NDArray[np.int64], completions: NDArray[np.int64], max_tokens: int) -> list[int]:
    """Where to cut rows in their order, by the cheapest way to cut the first 1, 2, ... of them."""
    rows = len(prompts)
    cost = np.zeros(rows + 1)  # of the first so many rows
    begin = np.zeros(rows + 1, np.int64)  # of their last micro-batch
    prompt, completion = np.zeros(rows, np.int64), np.zeros(rows, np.int64)  # widths, by where it begins
    for last in range(rows):
        np.maximum(prompt[: last + 1], prompts[last], out=prompt[: last + 1])
        np.maximum(completion[: last + 1], completions[last], out=completion[: last + 1])
        sizes = np.arange(last + 1, 0, -1)
        tokens = sizes * (prompt + completion)[: last + 1]
        fits = (tokens <= max_tokens) | (sizes == 1)
        total = np.where(fits, cost[: last + 1] + tokens + PASS_SHARE * max_tokens, np.inf)
        begin[last + 1] = total.argmin()
        cost[last + 1] = total.min()
    ends = []
    end = begin[rows]
    while end > 0:
        ends.append(int(end))
        end = begin[end]
    return ends[::-1]
