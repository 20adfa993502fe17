"""The critic's loss per token: a pure function. Shapes: B completions, T tokens."""

from __future__ import annotations

import torch
from torch import Tensor


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip: float | None = None) -> Tensor:
    """Half the squared error of the values, [B, T]; with a clip the larger of that and the error of the
    value held within `clip` of the old one (PPO's reference implementation, baselines ppo2)."""
    error = (values - returns).square()
    if clip is not None:
        near = old_values + (values - old_values).clamp(-clip, clip)
        error = torch.maximum(error, (near - returns).square())
    return error / 2
