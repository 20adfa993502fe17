"""The study's table, from counts by problem."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evals.estimators.intervals.means import DIFFERENCE, SHARE, Interval, mean_interval
from evals.estimators.intervals.ratios import ratio_interval, share
from evals.estimators.passk import ks_up_to
from evals.reports.compare.arms import Arm
from evals.reports.compare.loading import ModelCounts

Values = NDArray[np.float64]


class Combined(NamedTuple):
    """A mean over problems of what is averaged over S seeds first.

    interval: 95 %, over problems, of that average. seeds: [S] the same mean for each seed alone.
    """

    value: float
    interval: Interval
    seeds: tuple[float, ...]


class Closed(NamedTuple):
    """A ratio of means: the closed fraction. interval: 95 %, over problems; None where the problems cannot
    tell whether the base has anything to close."""

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


def combine(values: ArrayLike, bounds: Interval = SHARE) -> Combined:
    """values: [S, P], one row a seed, one column a problem, of any quantity within the bounds that is
    averaged over both."""
    rows = np.asarray(values, dtype=np.float64)
    own = rows.mean(axis=0)
    return Combined(float(own.mean()), mean_interval(own, bounds), tuple(rows.mean(axis=1).tolist()))


def pass_at_k(sides: Sequence[ModelCounts], k: int) -> Values | None:
    """[S, P]; None where one of the sides has too few samples."""
    if any(k > side.counts.largest_k for side in sides):
        return None
    return np.stack([side.counts.pass_at_k(k) for side in sides])


def cells(bases: Sequence[ModelCounts], policies: Sequence[ModelCounts], k: int) -> Cells:
    """bases, policies: one a seed, on the same problems. Of the base itself, both are the same."""
    base_1, base_k = certain(bases, 1), pass_at_k(bases, k)
    at_1, at_k = certain(policies, 1), pass_at_k(policies, k)
    return Cells(
        at_1=combine(at_1),
        at_k=None if at_k is None else combine(at_k),
        gap=None if base_k is None else combine(base_k - at_1, DIFFERENCE),
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
    base_k, at_k, at_1 = pass_at_k(base, k), pass_at_k(policy, k), certain(policy, 1)
    right = certain(policies, 1)
    return Sound(
        at_1=combine(at_1),
        at_k=None if at_k is None else combine(at_k),
        gap=None if base_k is None else combine(base_k - at_1, DIFFERENCE),
        unsound=_unsound(right - at_1, right),
        apart=bool(at_1.mean() < combine(right).interval.low),
    )


def closed(base_1: Values, base_k: Values, at_1: Values) -> Closed | None:
    """(policy@1 - base@1) / (base@K - base@1), [S, P] each, a ratio of means over seeds and problems. None
    where a base has nothing to close."""
    moved, room = at_1 - base_1, base_k - base_1
    if (room.mean(axis=1) <= 0).any():
        return None
    return Closed(
        value=float(moved.mean() / room.mean()),
        interval=ratio_interval(moved.mean(axis=0), room.mean(axis=0)),
        seeds=tuple((moved.mean(axis=1) / room.mean(axis=1)).tolist()),
    )


def _unsound(unsound: Values, right: Values) -> Closed | None:
    """The share of right answers, [S, P] per sample, that follow a wrong step; None where a seed has none."""
    found = share(unsound.mean(axis=0), right.mean(axis=0))
    if found is None or (right.mean(axis=1) <= 0).any():
        return None
    return Closed(found.value, found.interval, tuple((unsound.mean(axis=1) / right.mean(axis=1)).tolist()))


class Curve(NamedTuple):
    """y against x, each y averaged over the seeds."""

    x: list[float]
    y: list[Combined]


def curve(sides: Sequence[ModelCounts]) -> Curve:
    """pass@k at k = 1, 2, 4, ..."""
    ks = ks_up_to(min(side.counts.largest_k for side in sides))
    return Curve([float(k) for k in ks], [combine(certain(sides, k)) for k in ks])


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
    return {step: combine(base_k - certain(own, 1), DIFFERENCE) for step, own in sides.items()}


def certain(sides: Sequence[ModelCounts], k: int) -> Values:
    """[S, P]; raises ValueError where a side has too few samples."""
    return np.stack([side.counts.pass_at_k(k) for side in sides])
