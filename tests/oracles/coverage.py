"""How often each printed 95 % interval holds what it is for, over simulated measurements of a base and a
policy. The intervals are the package's own functions; what they should hold is known by construction."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from oracles.populations import MANY, SHAPES, Rng, solves, trained

from evals.estimators.counts import Counts
from evals.estimators.crossover import crossover, crossover_of_curves, interval_of_crossings
from evals.estimators.gap import closed_fraction_interval
from evals.estimators.intervals.means import DIFFERENCE, SHARE, mean_intervals
from evals.estimators.intervals.sampling import interval_of_these, sampling_variance
from evals.estimators.passk import ks_up_to, pass_at_k
from evals.estimators.saturation import saturation_projections
from evals.estimators.soundness import SoundCounts, unsound_share

# Shares of right answers after a wrong step, and how alike problems are in them.
UNSOUND = {"unsound share 30 %": (0.6, 1.4), "unsound share 3 %": (0.5, 16.2)}
# Of so many simulations the printed share of resamples without a crossing is averaged.
CROSSED = 50


class Setting(NamedTuple):
    """K is n, the hardest case: at smaller K samples say more."""

    shape: str
    problems: int
    n: int


class Truth(NamedTuple):
    """Of a population: means over all its problems, by curve and k."""

    ks: list[int]
    base: np.ndarray
    policy: np.ndarray
    double: float

    @classmethod
    def of(cls, setting: Setting, rng: Rng, many: int) -> Truth:
        rates = SHAPES[setting.shape](rng, many)
        policy = trained(rng, rates)
        ks = ks_up_to(setting.n)
        curves = [np.array([solves(side, k).mean() for k in ks]) for side in (rates, policy)]
        return cls(ks, *curves, float(solves(rates, 2 * setting.n).mean()))

    @property
    def crossing(self) -> float | None:
        return crossover_of_curves(self.ks, self.base, self.policy)


class Found(NamedTuple):
    """Of all simulations of a setting. held: by interval, whether it held. crossings: the k* that exist.
    printed_without: the mean of the share without a crossing that is printed. true_crossing: the
    population's k*."""

    held: dict[str, NDArray[np.bool_]]
    crossings: NDArray[np.float64]
    printed_without: float
    true_crossing: str


class Measured(NamedTuple):
    """R measurements of P problems. rates: [R, P] of the base's; c: [R, P] right answers of n."""

    n: int
    base_rates: NDArray[np.float64]
    policy_rates: NDArray[np.float64]
    base: NDArray[np.int64]
    policy: NDArray[np.int64]

    def solved(self, side: NDArray[np.int64], k: int) -> NDArray[np.float64]:
        return pass_at_k(self.n, side.ravel(), k).reshape(side.shape)

    def counts(self) -> Iterator[tuple[Counts, Counts]]:
        for base, policy in zip(self.base, self.policy, strict=True):
            yield Counts(self.n, base), Counts(self.n, policy)


def simulate(setting: Setting, replications: int, seed: int = 0, fits: int = 0, many: int = MANY) -> Found:
    """fits: in how many of them the intervals for these problems are made too, which take a fit each.
    many: problems that stand for the population."""
    rng = np.random.default_rng([seed, setting.problems, setting.n, len(setting.shape)])
    truth = Truth.of(setting, rng, many)
    rates = SHAPES[setting.shape](rng, replications * setting.problems).reshape(replications, -1)
    policy = trained(rng, rates)
    n = setting.n
    measured = Measured(n, rates, policy, rng.binomial(n, rates), rng.binomial(n, policy))
    crossed, crossings, without = _crossover(measured, truth)
    held = {**_means(measured, truth), "closed share": _closed(measured, truth), "crossover k*": crossed}
    held |= _unsound(measured, rng) | _saturation(measured, truth, rng)
    held |= _these_problems(measured, fits) if fits else {}
    true = truth.crossing
    return Found(held, crossings, without, "none" if true is None else f"{true:.1f}")


def _means(m: Measured, truth: Truth) -> dict[str, NDArray[np.bool_]]:
    k = truth.ks[-1]
    b1, bk, p1, pk = (m.solved(side, at) for side in (m.base, m.policy) for at in (1, k))
    t1, tk, u1, uk = truth.base[0], truth.base[-1], truth.policy[0], truth.policy[-1]
    return {
        "base pass@1": _hold(mean_intervals(b1, SHARE), t1),
        "base pass@K": _hold(mean_intervals(bk, SHARE), tk),
        "policy pass@1": _hold(mean_intervals(p1, SHARE), u1),
        "gap": _hold(mean_intervals(bk - p1, DIFFERENCE), tk - u1),
        "change of pass@1": _hold(mean_intervals(p1 - b1, DIFFERENCE), u1 - t1),
        "coverage lost": _hold(mean_intervals(bk - pk, DIFFERENCE), tk - uk),
    }


def _closed(m: Measured, truth: Truth) -> NDArray[np.bool_]:
    wanted = (truth.policy[0] - truth.base[0]) / (truth.base[-1] - truth.base[0])
    found = [closed_fraction_interval(base, policy, m.n) for base, policy in m.counts()]
    return np.array([one.low <= wanted <= one.high for one in found if one is not None])


def _crossover(m: Measured, truth: Truth) -> tuple[NDArray[np.bool_], NDArray[np.float64], float]:
    leads = [m.solved(m.base, k) - m.solved(m.policy, k) for k in truth.ks]
    intervals = np.stack([mean_intervals(lead, DIFFERENCE) for lead in leads], axis=1)
    ends = interval_of_crossings(truth.ks, intervals)
    wanted = np.inf if truth.crossing is None else truth.crossing
    means = np.stack([lead.mean(axis=1) for lead in leads], axis=1)
    crossings = interval_of_crossings(truth.ks, np.stack([means, means], axis=2))[:, 0]
    printed = [
        crossover(*pair, resamples=200).share_without for pair in itertools.islice(m.counts(), CROSSED)
    ]
    return _hold(ends, wanted), crossings[np.isfinite(crossings)], float(np.mean(printed))


def _saturation(m: Measured, truth: Truth, rng: Rng) -> dict[str, NDArray[np.bool_]]:
    """The problems that more samples solve are those that `more` then do."""
    more = rng.binomial(m.n, m.base_rates)
    solvable = ((m.base == 0) & (more > 0)).sum(axis=1)
    wanted = {"next gain": truth.double - truth.base[-1], "pass@2K": truth.double}
    found = [saturation_projections(base) for base, _ in m.counts()]
    intervals = np.array([[one.interval for one in three] for three in found])
    held = {name: _hold(intervals[:, i], value) for i, (name, value) in enumerate(wanted.items())}
    return held | {"solvable by K more": _hold(intervals[:, 2], solvable)}


def _unsound(m: Measured, rng: Rng) -> dict[str, NDArray[np.bool_]]:
    held = {}
    for name, (a, b) in UNSOUND.items():
        wrong = rng.binomial(m.base, rng.beta(a, b, m.base.shape))
        found = [
            unsound_share(SoundCounts.of(base, base.correct - own, 0 * own))
            for (base, _), own in zip(m.counts(), wrong, strict=True)
        ]
        wanted = a / (a + b)
        held[name] = np.array([one.interval.low <= wanted <= one.interval.high for one in found if one])
    return held


def _these_problems(m: Measured, fits: int) -> dict[str, NDArray[np.bool_]]:
    names = ("base pass@K", "policy pass@1", "gap")
    held: dict[str, list[bool]] = {f"{name}, these problems": [] for name in names}
    for i, (base, policy) in enumerate(itertools.islice(m.counts(), fits)):
        parts = [sampling_variance(base, {m.n: 1.0}), sampling_variance(policy, {1: 1.0})]
        at_k, at_1 = float(base.pass_at_k(m.n).mean()), float(policy.pass_at_k(1).mean())
        wanted = float(solves(m.base_rates[i], m.n).mean()), float(m.policy_rates[i].mean())
        intervals = (
            (interval_of_these(at_k, parts[:1], SHARE), wanted[0]),
            (interval_of_these(at_1, parts[1:], SHARE), wanted[1]),
            (interval_of_these(at_k - at_1, parts, DIFFERENCE), wanted[0] - wanted[1]),
        )
        for own, (interval, value) in zip(held.values(), intervals, strict=True):
            own.append(interval.low <= value <= interval.high)
    return {name: np.array(own) for name, own in held.items()}


def _hold(intervals: NDArray[np.float64], wanted: ArrayLike) -> NDArray[np.bool_]:
    """[R, 2] intervals: whether each holds its value. Sums that are equal but for their order are equal."""
    return np.asarray((intervals[:, 0] - 1e-12 <= wanted) & (wanted <= intervals[:, 1] + 1e-12))
