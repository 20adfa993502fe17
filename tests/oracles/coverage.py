"""How often each printed 95 % interval holds what it is for, over simulated measurements of a base and a
policy. The intervals are the package's own functions; what they should hold is known by construction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from oracles.populations import MANY, SHAPES, Rng, solves, trained

from evals.estimators.counts import Counts
from evals.estimators.crossover import crossover, crossover_of_curves
from evals.estimators.gap import closed_fraction_interval
from evals.estimators.intervals.means import DIFFERENCE, SHARE, Interval, mean_interval
from evals.estimators.intervals.sampling import interval_of_these, sampling_variance
from evals.estimators.passk import ks_up_to
from evals.estimators.saturation import saturation_projections
from evals.estimators.soundness import SoundCounts, unsound_share

# Shares of right answers after a wrong step, and how alike problems are in them.
UNSOUND = {"unsound share 30 %": (0.6, 1.4), "unsound share 3 %": (0.5, 16.2)}
# A crossover's interval needs no resamples; this many tell the share without a crossing.
RESAMPLES = 100


class Setting(NamedTuple):
    """K is n, the hardest case: at smaller K samples say more."""

    shape: str
    problems: int
    n: int


class Held(NamedTuple):
    """One interval of one simulation. value: what the estimate was, for its bias."""

    name: str
    inside: bool
    value: float | None = None


class Truth(NamedTuple):
    """Of a population: means over all its problems, by curve and k."""

    ks: list[int]
    base: np.ndarray
    policy: np.ndarray
    double: float

    @classmethod
    def of(cls, setting: Setting, rng: Rng) -> Truth:
        rates = SHAPES[setting.shape](rng, MANY)
        policy = trained(rng, rates)
        ks = ks_up_to(setting.n)
        curves = [np.array([solves(side, k).mean() for k in ks]) for side in (rates, policy)]
        return cls(ks, *curves, float(solves(rates, 2 * setting.n).mean()))

    @property
    def crossing(self) -> float | None:
        return crossover_of_curves(self.ks, self.base, self.policy)


def simulate(setting: Setting, replications: int, seed: int = 0, fits: bool = True) -> Iterator[list[Held]]:
    """One list a measurement. fits: also the intervals for these problems, which fit a distribution."""
    rng = np.random.default_rng([seed, setting.problems, setting.n, len(setting.shape)])
    truth = Truth.of(setting, rng)
    for _ in range(replications):
        rates = SHAPES[setting.shape](rng, setting.problems)
        policy_rates = trained(rng, rates)
        base, policy = (Counts(setting.n, rng.binomial(setting.n, side)) for side in (rates, policy_rates))
        yield [
            *_new_problems(base, policy, truth),
            *_crossover(base, policy, truth),
            *_saturation(base, rates, truth, rng),
            *_unsound(base, rng),
            *(_these_problems(base, policy, rates, policy_rates) if fits else ()),
        ]


def _new_problems(base: Counts, policy: Counts, truth: Truth) -> Iterator[Held]:
    k = truth.ks[-1]
    b1, bk, p1, pk = base.pass_at_k(1), base.pass_at_k(k), policy.pass_at_k(1), policy.pass_at_k(k)
    t1, tk, u1, uk = truth.base[0], truth.base[-1], truth.policy[0], truth.policy[-1]
    yield _held("base pass@1", mean_interval(b1, SHARE), t1)
    yield _held("base pass@K", mean_interval(bk, SHARE), tk)
    yield _held("policy pass@1", mean_interval(p1, SHARE), u1)
    yield _held("gap", mean_interval(bk - p1, DIFFERENCE), tk - u1)
    yield _held("change of pass@1", mean_interval(p1 - b1, DIFFERENCE), u1 - t1)
    yield _held("coverage lost", mean_interval(bk - pk, DIFFERENCE), tk - uk)
    closed = closed_fraction_interval(base, policy, k)
    if closed is not None:
        yield _held("closed share", closed, (u1 - t1) / (tk - t1))


def _crossover(base: Counts, policy: Counts, truth: Truth) -> Iterator[Held]:
    found, wanted = crossover(base, policy, resamples=RESAMPLES), truth.crossing
    low, high = found.low or np.inf, found.high or np.inf
    crossing = np.inf if wanted is None else wanted
    inside = low <= crossing <= high
    yield Held("crossover k*", inside, found.k and float(np.log2(found.k)))
    yield Held("share without a crossing", True, found.share_without)


def _saturation(base: Counts, rates: np.ndarray, truth: Truth, rng: Rng) -> Iterator[Held]:
    """The problems that more samples solve are those that `more` then do."""
    gain, ends, solvable = saturation_projections(base)
    more = rng.binomial(truth.ks[-1], rates)
    yield _held("next gain", gain.interval, truth.double - truth.base[-1])
    yield _held("pass@2K", ends.interval, truth.double)
    yield _held("solvable by K more", solvable.interval, float((~base.solved & (more > 0)).sum()))


def _unsound(base: Counts, rng: Rng) -> Iterator[Held]:
    for name, (a, b) in UNSOUND.items():
        wrong = rng.binomial(base.correct, rng.beta(a, b, len(base)))
        found = unsound_share(SoundCounts.of(base, base.correct - wrong, 0 * wrong))
        if found is not None:
            yield _held(name, found.interval, a / (a + b))


def _these_problems(
    base: Counts, policy: Counts, rates: np.ndarray, policy_rates: np.ndarray
) -> Iterator[Held]:
    k = base.largest_k
    parts = [sampling_variance(base, {k: 1.0}), sampling_variance(policy, {1: 1.0})]
    at_k, at_1 = float(base.pass_at_k(k).mean()), float(policy.pass_at_k(1).mean())
    wanted = solves(rates, k).mean(), policy_rates.mean()
    yield _held("base pass@K, these problems", interval_of_these(at_k, parts[:1], SHARE), wanted[0])
    yield _held("policy pass@1, these problems", interval_of_these(at_1, parts[1:], SHARE), wanted[1])
    both = interval_of_these(at_k - at_1, parts, DIFFERENCE)
    yield _held("gap, these problems", both, wanted[0] - wanted[1])


def _held(name: str, interval: Interval, wanted: float) -> Held:
    """Sums that are equal but for their order count as equal."""
    return Held(name, bool(interval.low - 1e-12 <= wanted <= interval.high + 1e-12))
