"""The learning rate over a run: linear warm-up, then constant, or down to a floor linearly or by a cosine."""

from __future__ import annotations

import math

from rlvr.config.schema import OptimConfig


def rate_share(optim: OptimConfig, update: int, updates: int) -> float:
    """The share of `optim.lr` that an update gets.

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
