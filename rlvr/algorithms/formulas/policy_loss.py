"""Policy losses per token: pure functions. Shapes: B completions, T tokens."""

from __future__ import annotations

import torch
from torch import Tensor


def ppo_clip(
    ratio: Tensor, advantages: Tensor, low: float = 0.2, high: float = 0.2, dual: float | None = None
) -> Tensor:
    """-min(r A, clip(r, 1 - low, 1 + high) A): PPO, arXiv 1707.06347, eq. 7.

    ratio: of the new to the old policy. dual: where A < 0 the loss is at most -dual A (arXiv 1912.09729,
    eq. 5). All [B, T].
    """
    loss = torch.maximum(-ratio * advantages, -ratio.clamp(1 - low, 1 + high) * advantages)
    if dual is None:
        return loss
    return torch.where(advantages < 0, torch.minimum(loss, -dual * advantages), loss)


def clipped_share(ratio: Tensor, advantages: Tensor, low: float = 0.2, high: float = 0.2) -> Tensor:
    """1 where the clipped term of `ppo_clip` is the active one, else 0. [B, T]."""
    up = (ratio > 1 + high) & (advantages > 0)
    down = (ratio < 1 - low) & (advantages < 0)
    return (up | down).to(ratio.dtype)


def cispo(ratio: Tensor, logprobs: Tensor, advantages: Tensor, cap: float) -> Tensor:
    """-min(r, cap) A log pi, with no gradient through r: CISPO, arXiv 2506.13585, eq. 4 and 5. All [B, T].

    Unlike under PPO's clip, every token keeps a gradient.
    """
    return -ratio.detach().clamp(max=cap) * advantages * logprobs


def reinforce(logprobs: Tensor, advantages: Tensor) -> Tensor:
    """-A log pi, [B, T]: Williams 1992."""
    return -advantages * logprobs
