"""The crossover k*: from how many samples on the base does at least as well as the policy."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evals.estimators.counts import Counts, check_paired
from evals.estimators.intervals.means import DIFFERENCE, mean_intervals
from evals.estimators.intervals.resampling import RESAMPLES, resampled_means
from evals.estimators.passk import ks_up_to


class Crossover(NamedTuple):
    """The crossover with its 95 % interval for new problems.

    k, low, high: None where there is no crossing up to k_max, so that high = None means "beyond k_max".
    share_without: the share of resamples of problems that have none. The larger it is, the lower k is
    biased: it exists only where the curves cross up to k_max.
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
    return _first(ks, lead)


def crossover(base: Counts, policy: Counts, seed: int = 0, resamples: int = RESAMPLES) -> Crossover:
    """Of two measurements of the same problems, up to the largest k that both can estimate.

    The interval holds every k at which the interval of the base's lead, as in `mean_interval`, leaves it open
    who is ahead. A resample of problems gives both curves, and so tells whether they cross.
    """
    check_paired(base, policy)
    ks = ks_up_to(min(base.largest_k, policy.largest_k))
    lead = np.stack([base.pass_at_k(k) - policy.pass_at_k(k) for k in ks], axis=1)
    low, high = interval_of_crossings(ks, mean_intervals(lead.T, DIFFERENCE)[None])[0].tolist()
    crossings = _first_crossings(np.asarray(ks), resampled_means(lead, resamples, seed))
    return Crossover(
        k=_first(ks, lead.mean(axis=0)),
        low=low if np.isfinite(low) else None,
        high=high if np.isfinite(high) else None,
        share_without=float(np.isinf(crossings).mean()),
        k_max=ks[-1],
    )


def interval_of_crossings(ks: Sequence[int], leads: NDArray[np.float64]) -> NDArray[np.float64]:
    """[R, K, 2] intervals of the base's lead at each k -> [R, 2] of the crossover, inf beyond the last k."""
    at = np.asarray(ks)
    return np.stack([_first_crossings(at, leads[:, :, 1]), _first_crossings(at, leads[:, :, 0])], axis=1)


def _first(ks: Sequence[int], lead: NDArray[np.float64]) -> float | None:
    """The first crossover of one curve of leads, [K]."""
    found = float(_first_crossings(np.asarray(ks), lead[None])[0])
    return found if np.isfinite(found) else None


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
