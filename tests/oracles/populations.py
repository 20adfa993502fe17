"""Problems to simulate: how success rates are spread over them, and what training makes of a rate."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

Rates = NDArray[np.float64]
Rng = np.random.Generator

SHAPES: dict[str, Callable[[Rng, int], Rates]] = {
    # pass@1 10, pass@256 69, as of the base on Omni-MATH in arXiv 2504.13837
    "Beta(0.23, 2.06)": lambda rng, size: rng.beta(0.23, 2.06, size),
    # pass@1 12, pass@256 95, as of the study in miniature
    "Beta(0.8, 5.9)": lambda rng, size: rng.beta(0.8, 5.9, size),
    "half at 0.004, half Beta(8, 2)": lambda rng, size: np.where(
        rng.random(size) < 0.5, 0.004, rng.beta(8, 2, size)
    ),
}
# For a population's own mean.
MANY = 2_000_000


def trained(rng: Rng, rates: Rates, seed_effects: Rates | None = None) -> Rates:
    """What a sharpening policy makes of a base's rates: high ones rise, low ones fall, each with its luck.

    seed_effects: in logits, of each run, whose problems are the last axis of the rates.
    """
    logits = logit(np.clip(rates, 1e-9, 1 - 1e-9))
    effects = 0.0 if seed_effects is None else seed_effects[..., None]
    return np.asarray(expit(1.6 * logits + 1.8 + 0.7 * rng.standard_normal(rates.shape) + effects))


def solves(rates: Rates, k: int) -> Rates:
    """1 - (1 - p)^k."""
    return np.asarray(1 - (1 - rates) ** k)
