"""Losses per token and their weights: pure functions. Shapes: B completions, T tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

if TYPE_CHECKING:
    from rlvr.algorithms.batch import Batch, Counts
    from rlvr.algorithms.bundle import Clip, Normalisation


def ppo_clip(
    logprobs: Tensor,
    old_logprobs: Tensor | None,
    advantages: Tensor,
    low: float = 0.2,
    high: float = 0.2,
    dual: float | None = None,
) -> Tensor:
    """-min(r A, clip(r, 1 - low, 1 + high) A): PPO, arXiv 1707.06347, eq. 7.

    dual: where A < 0 the loss is at most -dual A (arXiv 1912.09729, eq. 5).
    All [B, T]. old_logprobs None means that they are the same log-probs: the ratio is 1, with its gradient.
    """
    r = ratio(logprobs, old_logprobs)
    loss = torch.maximum(-r * advantages, -r.clamp(1 - low, 1 + high) * advantages)
    if dual is None:
        return loss
    return torch.where(advantages < 0, torch.minimum(loss, -dual * advantages), loss)


def clipped_share(
    logprobs: Tensor, old_logprobs: Tensor | None, advantages: Tensor, low: float = 0.2, high: float = 0.2
) -> Tensor:
    """1 where the clipped term of `ppo_clip` is the active one, else 0. [B, T]."""
    r = ratio(logprobs.detach(), old_logprobs)
    up = (r > 1 + high) & (advantages > 0)
    down = (r < 1 - low) & (advantages < 0)
    return (up | down).to(logprobs.dtype)


def ratio(logprobs: Tensor, old_logprobs: Tensor | None) -> Tensor:
    """pi / pi_old per token, [B, T]; 1, with its gradient, where no old log-probs are given."""
    old = logprobs.detach() if old_logprobs is None else old_logprobs
    return (logprobs - old).exp()


def reinforce(logprobs: Tensor, advantages: Tensor) -> Tensor:
    """-A log pi, [B, T]: Williams 1992."""
    return -advantages * logprobs


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip: float | None = None) -> Tensor:
    """Half the squared error of the values, [B, T]; with a clip the larger of that and the error of the
    value held within `clip` of the old one (PPO's reference implementation, baselines ppo2)."""
    error = (values - returns).square()
    if clip is not None:
        near = old_values + (values - old_values).clamp(-clip, clip)
        error = torch.maximum(error, (near - returns).square())
    return error / 2


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


@dataclass(frozen=True)
class Weights:
    """A normalisation by its name; the constant of `fixed_length` is the token limit."""

    normalisation: Normalisation

    def __call__(self, batch: Batch, counts: Counts) -> Tensor:
        if self.normalisation == "fixed_length":
            return fixed_length(batch.mask, counts.completions, counts.longest)
        if self.normalisation == "group_token_mean":
            return group_token_mean(batch.mask, batch.group, counts.groups)
        if self.normalisation == "token_mean":
            return token_mean(batch.mask, counts.tokens)
        by_completion = {"sequence_mean": sequence_mean, "sequence_sum": sequence_sum}
        return by_completion[self.normalisation](batch.mask, counts.completions)


@dataclass(frozen=True)
class PpoClip:
    """The policy loss `ppo_clip` on a batch."""

    clip: Clip
    uses_ratio: ClassVar[bool] = True

    def __call__(self, logprobs: Tensor, batch: Batch) -> Tensor:
        c = self.clip
        return ppo_clip(logprobs, batch.old_logprobs, _filled(batch.advantages), c.low, c.high, c.dual)

    def diagnostics(self, logprobs: Tensor, batch: Batch) -> dict[str, Tensor]:
        advantages = _filled(batch.advantages)
        share = clipped_share(logprobs, batch.old_logprobs, advantages, self.clip.low, self.clip.high)
        return {"clip_fraction": share, "ratio": ratio(logprobs.detach(), batch.old_logprobs)}


@dataclass(frozen=True)
class Reinforce:
    """The policy loss `reinforce` on a batch: one update a batch, since it takes no ratio."""

    uses_ratio: ClassVar[bool] = False

    def __call__(self, logprobs: Tensor, batch: Batch) -> Tensor:
        return reinforce(logprobs, _filled(batch.advantages))

    def diagnostics(self, logprobs: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {}


def _filled(value: Tensor | None) -> Tensor:
    if value is None:
        raise ValueError("the batch has no advantages yet")
    return value
