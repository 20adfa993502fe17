"""Ratios of probabilities that two policies, or engine and trainer, give a sampled token.

Pure functions. Shapes: B completions, T tokens.
"""

from __future__ import annotations

from torch import Tensor


def before_update(logprobs: Tensor, old_logprobs: Tensor | None) -> Tensor:
    """Log-probs before the update, [B, T], without gradient: the old ones, or, where the only update is
    under way and none were kept, the current ones."""
    return logprobs.detach() if old_logprobs is None else old_logprobs


def log_ratio(logprobs: Tensor, old_logprobs: Tensor | None) -> Tensor:
    """log pi - log pi_old per token, [B, T]; 0, with its gradient, where no old log-probs are given."""
    return logprobs - before_update(logprobs, old_logprobs)


def ratio(logprobs: Tensor, old_logprobs: Tensor | None) -> Tensor:
    """pi / pi_old per token, [B, T]: the r of PPO, arXiv 1707.06347, section 3."""
    return log_ratio(logprobs, old_logprobs).exp()


def sequence_log_ratio(log_ratio: Tensor) -> Tensor:
    """The log-ratio of each whole completion, at each of its tokens: [B, T] -> [B, T].

    log_ratio: per token, 0 where a token does not count.
    """
    return log_ratio.sum(1, keepdim=True).expand_as(log_ratio)


def sequence_mean_ratio(logprobs: Tensor, old_logprobs: Tensor | None, mask: Tensor) -> Tensor:
    """s = (pi(y) / pi_old(y))^(1 / |y|) of each whole completion, at each of its tokens, [B, T].

    GSPO, arXiv 2507.18071, eq. 7, over the trained tokens. The gradient of each token is its own (GSPO-token,
    eq. 14): s times that of log pi.
    """
    apart = log_ratio(logprobs, old_logprobs)
    mean = (apart.detach() * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
    return (mean + logprobs - logprobs.detach()).exp()
