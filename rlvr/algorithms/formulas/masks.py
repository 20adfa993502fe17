"""Masks select: a product would keep the NaN and the infinities of what is not trained on."""

from __future__ import annotations

import torch
from torch import Tensor


def selected(values: Tensor, mask: Tensor) -> Tensor:
    """The values where the mask is not 0, else 0, as is the gradient. [B, T] each."""
    return torch.where(mask > 0, values, torch.zeros((), dtype=values.dtype, device=values.device))
