"""Losses per token and their weights: pure functions. Shapes: B completions, T tokens."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def ppo_clip(
    logprobs: Tensor,
    old_logprobs: Tensor | None,
    advantages: Tensor,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> Tensor:
    """-min(r A, clip(r, 1 - clip_low, 1 + clip_high) A): PPO, arXiv 1707.06347, eq. 7.

    All [B, T]. old_logprobs None means that they are the same log-probs: the ratio is 1, with its gradient.
    """
    ratio = _ratio(logprobs, old_logprobs)
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high)
    return -torch.minimum(ratio * advantages, clipped * advantages)


def clipped_share(
    logprobs: Tensor,
    old_logprobs: Tensor | None,
    advantages: Tensor,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> Tensor:
    """1 where the clipped term of `ppo_clip` is the active one, else 0. [B, T] float."""
    ratio = _ratio(logprobs, old_logprobs)
    high = (ratio > 1 + clip_high) & (advantages > 0)
    low = (ratio < 1 - clip_low) & (advantages < 0)
    return (high | low).to(logprobs.dtype)


def kl(logprobs: Tensor, ref_logprobs: Tensor, estimator: Literal["k1", "k2", "k3"]) -> Tensor:
    """Estimators of KL(policy || reference) from the policy's samples, per token, [B, T].

    With x = log pi - log pi_ref: k1 = x, k2 = x^2 / 2, k3 = exp(-x) - 1 + x (GRPO eq. 4).
    """
    x = logprobs - ref_logprobs
    if estimator == "k1":
        return x
    if estimator == "k2":
        return x.square() / 2
    return torch.expm1(-x) + x


def sequence_mean(mask: Tensor, completions: float) -> Tensor:
    """Weights [B, T]: the mean over each completion's tokens, then over completions (GRPO, eq. 3).

    mask: [B, T]. completions: how many rows with trained tokens the optimizer step has, on all ranks.
    """
    return mask / mask.sum(1, keepdim=True).clamp(min=1) / completions


def _ratio(logprobs: Tensor, old_logprobs: Tensor | None) -> Tensor:
    old = logprobs.detach() if old_logprobs is None else old_logprobs
    return (logprobs - old).exp()
