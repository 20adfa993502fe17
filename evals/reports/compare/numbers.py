"""The study's table and the differences between arms, from counts by problem."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evals.estimators.intervals import (
    Interval,
    bootstrap_mean,
    difference_over_seeds,
    percentiles,
    resampled_means,
)
from evals.estimators.passk import ks_up_to
from evals.reports.compare.arms import Arm, Study
from evals.reports.compare.loading import ModelCounts

Values = NDArray[np.float64]
# Means that are equal but for the order in which they were added.
ROUNDING = 1e-12


class Combined(NamedTuple):
    """A mean over problems of what is averaged over S seeds first.

    interval: 95 % bootstrap over problems of that average. seeds: [S] the same mean for each seed alone.
    """

    value: float
    interval: Interval
    seeds: tuple[float, ...]


class Closed(NamedTuple):
    """The closed fraction. interval: None where the base has nothing to close in some resample, since
    too few problems have room for one."""

    value: float
    interval: Interval | None
    seeds: tuple[float, ...]


class Sound(NamedTuple):
    """The same of right answers without a wrong step. unsound: the share of right answers with one, a ratio
    of means as Closed. apart: whether sound pass@1 lies below the interval of pass@1."""

    at_1: Combined
    at_k: Combined | None
    gap: Combined | None
    unsound: Closed | None
    apart: bool


class Cells(NamedTuple):
    """One arm or base on one task, as fractions; None where K is above what was sampled. sound: None where
    nobody looked at the reasoning."""

    at_1: Combined
    at_k: Combined | None
    gap: Combined | None
    closed: Closed | None
    sound: Sound | None = None


def combine(values: ArrayLike) -> Combined:
    """values: [S, P], one row a seed, one column a problem, of any quantity that is averaged over both."""
    rows = np.asarray(values, dtype=np.float64)
    own = rows.mean(axis=0)
    return Combined(float(own.mean()), bootstrap_mean(own), tuple(rows.mean(axis=1).tolist()))


def pass_at_k(sides: Sequence[ModelCounts], k: int) -> Values | None:
    """[S, P]; None where one of the sides has too few samples."""
    if any(k > side.counts.largest_k for side in sides):
        return None
    return np.stack([side.counts.pass_at_k(k) for side in sides])


def cells(bases: Sequence[ModelCounts], policies: Sequence[ModelCounts], k: int) -> Cells:
    """bases, policies: one a seed, on the same problems. Of the base itself, both are the same."""
    base_1, base_k = _certain(bases, 1), pass_at_k(bases, k)
    at_1, at_k = _certain(policies, 1), pass_at_k(policies, k)
    return Cells(
        at_1=combine(at_1),
        at_k=None if at_k is None else combine(at_k),
        gap=None if base_k is None else combine(base_k - at_1),
        closed=None if base_k is None else closed(base_1, base_k, at_1),
        sound=_sound(bases, policies, k),
    )


def soundly(sides: Sequence[ModelCounts]) -> list[ModelCounts] | None:
    """With sound answers alone; None where not all of them were looked at by one checker."""
    found = [side.soundly for side in sides]
    known = [side for side in found if side is not None]
    return known if len(known) == len(found) and len({side.soundness for side in known}) == 1 else None


def _sound(bases: Sequence[ModelCounts], policies: Sequence[ModelCounts], k: int) -> Sound | None:
    both = soundly([*bases, *policies])
    if both is None:
        return None
    base, policy = both[: len(bases)], both[len(bases) :]
    base_k, at_k, at_1 = pass_at_k(base, k), pass_at_k(policy, k), _certain(policy, 1)
    right = _certain(policies, 1)
    return Sound(
        at_1=combine(at_1),
        at_k=None if at_k is None else combine(at_k),
        gap=None if base_k is None else combine(base_k - at_1),
        unsound=closed(np.zeros_like(right), right, right - at_1),
        apart=bool(at_1.mean() < combine(right).interval.low),
    )


def closed(base_1: Values, base_k: Values, at_1: Values) -> Closed | None:
    """(policy@1 - base@1) / (base@K - base@1), [S, P] each, a ratio of means over seeds and problems; its
    interval from problems that are resampled for both at once. None where a base has nothing to close."""
    moved, room = at_1 - base_1, base_k - base_1
    if (room.mean(axis=1) <= 0).any():
        return None
    pairs = resampled_means(np.stack([moved.mean(axis=0), room.mean(axis=0)], axis=1))
    certain = (pairs[:, 1] > 0).all()
    return Closed(
        value=float(moved.mean() / room.mean()),
        interval=percentiles(pairs[:, 0] / pairs[:, 1]) if certain else None,
        seeds=tuple((moved.mean(axis=1) / room.mean(axis=1)).tolist()),
    )


class Curve(NamedTuple):
    """y against x, each y averaged over the seeds."""

    x: list[float]
    y: list[Combined]


def curve(sides: Sequence[ModelCounts]) -> Curve:
    """pass@k at k = 1, 2, 4, ..."""
    ks = ks_up_to(min(side.counts.largest_k for side in sides))
    return Curve([float(k) for k in ks], [combine(_certain(sides, k)) for k in ks])


def gap_by_step(arm: Arm, task: str, k: int) -> dict[int, Combined]:
    """The gap before training and at every step at which all seeds were probed; empty where K is above
    the base's samples."""
    bases = arm.bases(task)
    base_k = pass_at_k(bases, k)
    if base_k is None:
        return {}
    sides = {0: bases} | {
        step: [run.tasks[task].policy[step] for run in arm.runs] for step in arm.steps(task)
    }
    return {step: combine(base_k - _certain(own, 1)) for step, own in sides.items()}


class Measure(NamedTuple):
    """What is compared between two arms. at: [S, P] of an arm on a task. sign: 1 where more is better.
    better: what is said of the better arm. of_base: whether the base's values are in it."""

    name: str
    at: Callable[[Arm, str], Values | None]
    sign: int
    better: str
    of_base: bool = False


class Estimate(NamedTuple):
    """interval: 95 %, over seeds and problems; over problems alone where no arm has several seeds."""

    value: float
    interval: Interval


class Difference(NamedTuple):
    """The first arm less the second. estimate: None where there is none. apart: whether its interval
    leaves out 0."""

    measure: str
    estimate: Estimate | None
    apart: bool
    verdict: str


class Pair(NamedTuple):
    """Two arms on one task. refused: why they are not compared, else None."""

    one: Arm
    other: Arm
    differences: list[Difference]
    refused: str | None

    @property
    def verdicts(self) -> list[str]:
        """In words: what is apart, or else, once, that nothing is."""
        if self.refused is not None:
            return [self.refused]
        apart = [d.verdict for d in self.differences if d.apart]
        return apart or list(dict.fromkeys(d.verdict for d in self.differences))


def measures(k: int, sound: bool = False) -> list[Measure]:
    """pass@1, pass@K and the gap; the first two of sound answers too, where these are known."""
    measured = [
        Measure("pass@1", lambda arm, task: pass_at_k(arm.policies(task), 1), 1, "has the higher pass@1, by"),
        Measure(
            f"pass@{k}",
            lambda arm, task: pass_at_k(arm.policies(task), k),
            1,
            f"has the higher pass@{k}, by",
        ),
        Measure("gap", lambda arm, task: _gaps(arm, task, k), -1, "has the smaller gap, by", of_base=True),
    ]
    for at in (1, k) if sound else ():
        name = f"sound pass@{at}"
        measured.append(Measure(name, partial(_sound_at, k=at), 1, f"has the higher {name}, by"))
    return measured


def _sound_at(arm: Arm, task: str, k: int) -> Values | None:
    sides = soundly(arm.policies(task))
    return None if sides is None else pass_at_k(sides, k)


def is_checked(study: Study) -> bool:
    """Whether a checker looked at the reasoning of some arm."""
    return any(soundly(arm.policies(task)) for task in study.tasks for arm in study.on(task))


def pairs(study: Study, task: str) -> list[Pair]:
    """Every two arms that were probed on the task."""
    measured = measures(study.k, is_checked(study))
    return [_pair(one, other, task, measured) for one, other in itertools.combinations(study.on(task), 2)]


def _pair(one: Arm, other: Arm, task: str, measured: Sequence[Measure]) -> Pair:
    (posed, problems), (other_posed, other_problems) = (a.policies(task)[0].posed for a in (one, other))
    if posed != other_posed or problems != other_problems:
        return Pair(one, other, [], "not compared: they were not asked, sampled and graded alike")
    bases = {base.origin.weights for arm in (one, other) for base in arm.bases(task)}
    checkers = {side.soundness for arm in (one, other) for side in arm.policies(task)}
    differences = [
        Difference(measure.name, None, False, "their gaps are to different bases")
        if measure.of_base and len(bases) > 1
        else Difference(measure.name, None, False, "their reasoning was not looked at alike")
        if measure.name.startswith("sound") and (len(checkers) > 1 or None in checkers)
        else _difference(one, other, task, measure)
        for measure in measured
    ]
    return Pair(one, other, differences, None)


def _difference(one: Arm, other: Arm, task: str, measure: Measure) -> Difference:
    """What two arms' seeds and problems tell of one measure."""
    own, others = measure.at(one, task), measure.at(other, task)
    if own is None or others is None:
        return Difference(measure.name, None, False, "not estimated: fewer samples than K")
    found = estimated(own, others)
    seeds = min(len(own), len(others))
    if found.interval.low <= ROUNDING and found.interval.high >= -ROUNDING:
        n = min(side.counts.n_max for arm in (one, other) for side in arm.policies(task))
        asked = f"{own.shape[1]} problems x {n} samples"
        tried = asked if seeds == 1 else f"{seeds} seeds x {asked}"
        return Difference(measure.name, found, False, f"cannot be told apart with {tried}")
    better = one if measure.sign * found.value > 0 else other
    verdict = f"{better.label} {measure.better} {100 * abs(found.value):.1f} points"
    alone = ", with one seed: another might not" if seeds == 1 else ""
    return Difference(measure.name, found, True, verdict + alone)


def estimated(own: Values, others: Values) -> Estimate:
    """The difference of two arms' means, [S, P] and [S', P], paired by problem."""
    differences = own.mean(axis=0) - others.mean(axis=0)
    single = len(own) == len(others) == 1
    interval = bootstrap_mean(differences) if single else difference_over_seeds(own, others)
    return Estimate(float(differences.mean()), interval)


def _gaps(arm: Arm, task: str, k: int) -> Values | None:
    base_k = pass_at_k(arm.bases(task), k)
    return None if base_k is None else base_k - _certain(arm.policies(task), 1)


def _certain(sides: Sequence[ModelCounts], k: int) -> Values:
    """[S, P]; raises ValueError where a side has too few samples."""
    return np.stack([side.counts.pass_at_k(k) for side in sides])
