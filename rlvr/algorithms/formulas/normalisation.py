"""Each token's weight in the loss of an optimizer step: pure functions. Shapes: B completions, T tokens."""

from __future__ import annotations

import torch
from torch import Tensor


def sequence_mean(mask: Tensor, completions: float) -> Tensor:
    """Weights [B, T]: the mean over each completion's tokens, then over completions (GRPO, eq. 3).

    completions: how many rows with trained tokens the optimizer step has, on all ranks.
    """
    return mask / mask.sum(1, keepdim=True).clamp(min=1) / completions


def sequence_sum(mask: Tensor, completions: float) -> Tensor:
    """Weights [B, T]: the sum over each completion's tokens, the mean over completions (REINFORCE)."""
    return mask / completions


def token_mean(mask: Tensor, tokens: float) -> Tensor:
    """Weights [B, T]: the mean over all trained tokens of the optimizer step, on all ranks."""
    return mask / tokens


def fixed_length(mask: Tensor, completions: float, length: int) -> Tensor:
    """Weights [B, T]: the sum over tokens by a constant, the mean over completions (arXiv 2503.20783)."""
    return mask / (completions * length)


def group_token_mean(mask: Tensor, group: Tensor, groups: float) -> Tensor:
    """Weights [B, T]: the mean over each group's tokens, then over groups (DAPO, arXiv 2503.14476, eq. 8)."""
    labels, index = torch.unique(group, return_inverse=True)
    tokens = mask.new_zeros(len(labels)).index_add(0, index, mask.sum(1))[index]
    return mask / tokens.clamp(min=1)[:, None] / groups
