"""How often studies of equal algorithms call some pair apart: runs that differ in nothing but their seeds."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from oracles.populations import SHAPES, Rng, trained

from evals.estimators.intervals.seeds import difference_over_seeds, holm, spread_of_seeds
from evals.estimators.passk import pass_at_k

ARMS, TASKS, SAMPLES = 6, 3, 256
SHAPE = "Beta(0.8, 5.9)"


class Studies(NamedTuple):
    """seed_effect: standard deviation of a seed's effect, in logits of every success rate."""

    seeds: int
    problems: int
    seed_effect: float


class Called(NamedTuple):
    """Shares of studies. alone: some pair by its own 95 % interval; corrected: by Holm's method. held: of
    the intervals of single pairs, those that hold 0."""

    alone: float
    corrected: float
    held: float


def run_studies(studies: Studies, replications: int, seed: int = 0) -> Called:
    """Every pair on pass@1 and pass@K of every task, as the compare page has them."""
    rng = np.random.default_rng([seed, studies.seeds, studies.problems, int(1000 * studies.seed_effect)])
    alone = corrected = 0
    held: list[float] = []
    for _ in range(replications):
        p = _study(studies, rng)
        alone += min(p) < 0.05
        corrected += min(holm(p)) < 0.05
        held.append(float(np.mean([own >= 0.05 for own in p])))
    return Called(alone / replications, corrected / replications, float(np.mean(held)))


def _study(studies: Studies, rng: Rng) -> list[float]:
    """The p-values of all comparisons."""
    effects = studies.seed_effect * rng.standard_normal((ARMS, studies.seeds))  # the same on every task
    found = []
    for _ in range(TASKS):
        rates = SHAPES[SHAPE](rng, studies.problems)
        right = rng.binomial(
            SAMPLES, trained(rng, np.broadcast_to(rates, (*effects.shape, rates.size)), effects)
        )
        for k in (1, SAMPLES):
            solved = pass_at_k(SAMPLES, right.ravel(), k).reshape(right.shape)
            arms = list(solved)
            spread = spread_of_seeds(arms)
            found += [
                difference_over_seeds(one, other, spread).p for one, other in itertools.combinations(arms, 2)
            ]
    return found
