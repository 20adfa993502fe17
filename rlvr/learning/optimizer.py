"""The optimizer, its groups of parameters, and the learning rate over a run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from rlvr.config.schema import OptimConfig


def decay_groups(parameters: Iterable[nn.Parameter], lr: float, optim: OptimConfig) -> list[dict[str, Any]]:
    """The parameters as groups of the optimizer: one, or by `optim.decay` those that decay and the others."""
    every = list(parameters)
    if optim.decay == "all":
        return [{"params": every, "lr": lr}]
    vectors = [p for p in every if _dimensions(p) < 2]
    groups = [{"params": [p for p in every if _dimensions(p) >= 2], "lr": lr}]
    return [*groups, {"params": vectors, "lr": lr, "weight_decay": 0.0}] if vectors else groups


def _dimensions(parameter: nn.Parameter) -> int:
    """Of the whole parameter, of which ZeRO-3 leaves a flat share."""
    return len(getattr(parameter, "ds_shape", parameter.shape))


def make_optimizer(groups: list[dict[str, Any]], optim: OptimConfig) -> torch.optim.Optimizer:
    """AdamW (arXiv 1711.05101), torch's, or bitsandbytes' with states in 8 bits (arXiv 2110.02861)."""
    settings: dict[str, Any] = {"betas": optim.betas, "weight_decay": optim.weight_decay}
    if optim.name == "adamw":
        return torch.optim.AdamW(groups, fused=True, **settings)
    import bitsandbytes

    kind = bitsandbytes.optim.AdamW8bit if optim.name == "adamw_8bit" else bitsandbytes.optim.PagedAdamW8bit
    return kind(groups, **settings)


def rate_share(optim: OptimConfig, update: int, updates: int) -> float:
    """The share of `optim.lr` that an update gets: linear warm-up, then constant, or down to a floor linearly
    or by a cosine.

    update: how many came before it. updates: of the whole run. A function of these alone, so that a resumed
    run goes on with the rates that it would have had.
    """
    warmup = optim.warmup_steps
    rising = min(1.0, (update + 1) / max(1, warmup))
    if optim.schedule == "constant" or update < warmup:
        return rising
    done = min(1.0, (update - warmup) / max(1, updates - warmup))
    left = 1.0 - done if optim.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
    return optim.min_share + (1.0 - optim.min_share) * left
