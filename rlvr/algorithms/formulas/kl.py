"""KL divergence from the reference model: a pure function. Shapes: B completions, T tokens."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def kl_estimate(logprobs: Tensor, ref_logprobs: Tensor, estimator: Literal["k1", "k2", "k3"]) -> Tensor:
    """Estimators of KL(policy || reference) from the policy's samples, per token, [B, T].

    With x = log pi - log pi_ref: k1 = x, k2 = x^2 / 2, k3 = exp(-x) - 1 + x (GRPO, arXiv 2402.03300, eq. 4).
    """
    x = logprobs - ref_logprobs
    if estimator == "k1":
        return x
    if estimator == "k2":
        return x.square() / 2
    return torch.expm1(-x) + x
