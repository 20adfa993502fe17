"""The mismatch of engine and trainer, which give a token different log-probs: its size and correction.

Formulas on torch alone. [B, T] where not said otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from rlvr.algorithms.batch import ScoredBatch
from rlvr.algorithms.formulas.masks import selected
from rlvr.algorithms.formulas.ratio import before_update, log_ratio, sequence_log_ratio
from rlvr.config.schema import Correction


def difference(batch: ScoredBatch, logprobs: Tensor) -> Tensor:
    """Trainer's minus engine's log-prob of each trained token, 0 elsewhere.

    logprobs: the trainer's, taken where the batch has no old ones.
    """
    trainer = before_update(logprobs, batch.old_logprobs)
    return selected(log_ratio(trainer, batch.engine_logprobs), batch.mask)


def correction_factor(batch: ScoredBatch, logprobs: Tensor, correction: Correction) -> Tensor:
    """What each token's policy loss is multiplied by; the denominators of the loss stay as they are.

    With the ratio pi_trainer / pi_engine of the token, or of the whole completion: truncate gives
    min(ratio, cap), truncated importance sampling (Ionides 2008); mask 0 outside 1 / cap .. cap, else 1.
    """
    if correction.by == "none":
        return torch.ones_like(batch.mask)
    apart = difference(batch, logprobs)
    if correction.level == "sequence":
        apart = sequence_log_ratio(apart)
    ratio = apart.exp()
    if correction.by == "truncate":
        return ratio.clamp(max=correction.cap)
    return ((ratio <= correction.cap) & (ratio >= 1 / correction.cap)).to(ratio.dtype)


def mismatch_sums(batch: ScoredBatch, logprobs: Tensor, share: Tensor) -> dict[str, Tensor]:
    """Sums that `mismatch_metrics` turns into metrics; their names have no area, so they are not logged.

    share: each trained token's share of 1.
    """
    apart = difference(batch, logprobs)
    return {
        "absolute": (share * apart.abs()).sum(),
        "k3": (share * (torch.expm1(apart) - apart)).sum(),
        "ratio": (share * apart.exp()).sum(),
        "squared_ratio": (share * (2 * apart).exp()).sum(),
    }


def mismatch_peaks(batch: ScoredBatch, logprobs: Tensor) -> dict[str, Tensor]:
    return {"mismatch/max": difference(batch, logprobs).abs().max()}


def mismatch_metrics(sums: Mapping[str, float]) -> dict[str, float]:
    """mean |difference| of log-probs, KL(engine || trainer) by k3 on the engine's samples, and the effective
    sample size of the token ratios as a share of the tokens."""
    squared = sums["squared_ratio"]
    return {
        "mismatch/mean": sums["absolute"],
        "mismatch/kl": sums["k3"],
        "mismatch/effective_samples": sums["ratio"] ** 2 / squared if squared else 0.0,
    }
