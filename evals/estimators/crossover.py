"""The crossover k*: from how many samples on the base does at least as well as the policy."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evals.estimators.counts import Counts, check_paired
from evals.estimators.intervals import LEVEL, resampled_means
from evals.estimators.passk import ks_up_to


class Crossover(NamedTuple):
    """The crossover with its 95 % paired bootstrap interval over new problems.

    k, low, high: None where there is no crossing up to k_max, so that high = None means "beyond k_max".
    share_without: the share of resamples that have none.
    """

    k: float | None
    low: float | None
    high: float | None
    share_without: float
    k_max: int


def crossover_of_curves(ks: Sequence[int], base: ArrayLike, policy: ArrayLike) -> float | None:
    """The smallest k at which the base's pass@k curve meets or passes the policy's; None if it never does.

    ks: ascending; base, policy: pass@k at each. Between two ks the difference is taken as a line in
    log2 k, since published curves are known at powers of two alone, along which they bend little; at
    ks[0] the base may already be level or ahead, and then k* = ks[0]. Raises ValueError for ks that do
    not ascend from 1 or later, and for curves of another length.
    """
    if not ks or ks[0] < 1 or any(b <= a for a, b in pairwise(ks)):
        raise ValueError(f"ks ascend from 1 or later: {list(ks)}")
    lead = np.asarray(base, dtype=np.float64) - np.asarray(policy, dtype=np.float64)
    if lead.shape != (len(ks),):
        raise ValueError(f"{len(ks)} ks need {len(ks)} values of each curve, there are {lead.shape}")
    first = float(_first_crossings(np.asarray(ks), lead[None])[0])
    return first if np.isfinite(first) else None


def crossover(base: Counts, policy: Counts, seed: int = 0) -> Crossover:
    """Of two measurements of the same problems, up to the largest k that both can estimate.

    Each resample of problems gives both curves at k = 1, 2, 4, ... and k_max, and so its own crossover.
    """
    check_paired(base, policy)
    ks = ks_up_to(min(base.largest_k, policy.largest_k))
    lead = np.stack([base.pass_at_k(k) - policy.pass_at_k(k) for k in ks], axis=1)
    crossings = np.sort(_first_crossings(np.asarray(ks), resampled_means(lead, seed=seed)))
    tail = round((1 - LEVEL) / 2 * crossings.size)
    k, low, high = (
        float(value) if np.isfinite(value) else None
        for value in (
            _first_crossings(np.asarray(ks), lead.mean(axis=0)[None])[0],
            crossings[tail],
            crossings[-1 - tail],
        )
    )
    return Crossover(k, low, high, float(np.isinf(crossings).mean()), ks[-1])


def _first_crossings(ks: NDArray[np.int64], lead: NDArray[np.float64]) -> NDArray[np.float64]:
    """[R, K] leads of the base over the policy -> [R] crossovers, inf where there is none."""
    level = lead >= 0
    after = level.argmax(axis=1)
    row, before = np.arange(len(lead)), np.maximum(after - 1, 0)
    low, high = lead[row, before], lead[row, after]
    share = np.divide(-low, high - low, out=np.zeros(len(lead)), where=after > 0)
    logs = np.log2(ks)
    found = 2 ** (logs[before] + share * (logs[after] - logs[before]))
    return np.where(level.any(axis=1), found, np.inf)
