"""Cutting a batch into micro-batches by a token budget."""

from __future__ import annotations

import torch
from torch import Tensor

from rlvr.batch import Batch


def micro_batch_rows(batch: Batch, max_tokens: int) -> list[Tensor]:
    """Row indices of micro-batches: sorted by length, so that little is padding, and each of at most
    max_tokens with its padding, unless it is a single row."""
    prompt_len, completion_len = batch.prompt_len.tolist(), batch.completion_len.tolist()
    order = sorted(range(len(batch)), key=lambda row: -(prompt_len[row] + completion_len[row]))
    pieces: list[list[int]] = []
    prompt = completion = 0
    for row in order:
        wider = max(prompt, prompt_len[row]), max(completion, completion_len[row])
        if pieces and (len(pieces[-1]) + 1) * sum(wider) <= max_tokens:
            pieces[-1].append(row)
            prompt, completion = wider
        else:
            pieces.append([row])
            prompt, completion = prompt_len[row], completion_len[row]
    return [torch.tensor(rows, device=batch.tokens.device) for rows in pieces]


def micro_batches(batch: Batch, max_tokens: int) -> list[Batch]:
    """The batch cut into micro-batches, which together hold every row once."""
    return [batch.select(rows) for rows in micro_batch_rows(batch, max_tokens)]
