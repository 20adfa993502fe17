"""Advantages: pure functions of rewards. Shapes: B completions, T tokens."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class GroupStats(NamedTuple):
    """Statistics of each row's group, [B] each. `equal`: all rewards of the group are the same."""

    mean: Tensor
    std: Tensor
    size: Tensor
    equal: Tensor


def group_stats(rewards: Tensor, group: Tensor, ddof: int = 1) -> GroupStats:
    """Mean, standard deviation (0 for groups of ddof or fewer) and size of each row's group.

    rewards: [B] float. group: [B] int, any labels in any order.
    Computed in float64: eight fp32 rewards of 0.7 have a rounding "std" that would be divided by.
    """
    labels, index = torch.unique(group, return_inverse=True)
    values = rewards.double()

    def total(x: Tensor) -> Tensor:
        return x.new_zeros(len(labels)).index_add(0, index, x)[index]

    size = total(torch.ones_like(values))
    mean = total(values) / size
    std = (total((values - mean) ** 2) / (size - ddof).clamp(min=1)).sqrt()
    extent = values.new_zeros(len(labels))
    low = extent.scatter_reduce(0, index, values, "amin", include_self=False)[index]
    high = extent.scatter_reduce(0, index, values, "amax", include_self=False)[index]
    return GroupStats(mean, torch.where(size > ddof, std, 0.0), size, low == high)


def group_normalised(rewards: Tensor, group: Tensor, eps: float = 1e-6, ddof: int = 1) -> Tensor:
    """(R - mean) / (std + eps) within each group: GRPO, arXiv 2402.03300, section 4.1.2.

    rewards: [B], group: [B]; returns [B]. Exactly 0 where all rewards of a group are equal.
    """
    stats = group_stats(rewards, group, ddof)
    advantage = (rewards.double() - stats.mean) / (stats.std + eps)
    return torch.where(stats.equal, 0.0, advantage).to(rewards.dtype)
