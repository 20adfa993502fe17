"""Which arms of a study are apart: differences paired by problem, corrected for how many are looked at."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from evals.estimators.intervals.means import LEVEL
from evals.estimators.intervals.seeds import (
    Difference,
    Spread,
    difference_over_seeds,
    holm,
    spread_of_seeds,
)
from evals.reports.compare.arms import Arm, Study
from evals.reports.compare.numbers import Values, certain, pass_at_k, soundly


class Measure(NamedTuple):
    """What is compared between two arms. at: [S, P] of an arm on a task. sign: 1 where more is better.
    better: what is said of the better arm. of_base: whether the base's values are in it."""

    name: str
    at: Callable[[Arm, str], Values | None]
    sign: int
    better: str
    of_base: bool = False


class Comparison(NamedTuple):
    """The first arm less the second. estimate: None where there is none, else over seeds and problems.

    corrected: its p-value, by Holm's method over all comparisons of the study; apart: whether that is below
    0.05. of_other: whether the estimate is that of another measure with its sign turned, and no comparison
    of its own.
    """

    measure: str
    estimate: Difference | None
    verdict: str
    corrected: float | None = None
    of_other: bool = False

    @property
    def apart(self) -> bool:
        return self.corrected is not None and self.corrected < 1 - LEVEL


class Pair(NamedTuple):
    """Two arms on one task. refused: why they are not compared, else None."""

    one: Arm
    other: Arm
    comparisons: list[Comparison]
    refused: str | None

    @property
    def verdicts(self) -> list[str]:
        """In words: what is apart, or else, once, that nothing is."""
        if self.refused is not None:
            return [self.refused]
        apart = [c.verdict for c in self.comparisons if c.apart]
        return apart or list(dict.fromkeys(c.verdict for c in self.comparisons))


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


def is_checked(study: Study) -> bool:
    """Whether a checker looked at the reasoning of some arm."""
    return any(soundly(arm.policies(task)) for task in study.tasks for arm in study.on(task))


def pairs(study: Study) -> dict[str, list[Pair]]:
    """By task, every two arms that were probed on it; p-values are corrected over all of them."""
    measured = measures(study.k, is_checked(study))
    found = {task: _pairs(study, task, measured) for task in study.tasks}
    corrected = iter(holm([c.estimate.p for c in family(found) if c.estimate is not None]))
    return {task: [_corrected(pair, corrected, measured) for pair in own] for task, own in found.items()}


def family(found: Mapping[str, Sequence[Pair]]) -> list[Comparison]:
    """The comparisons that are counted, in the order in which they are shown."""
    all_of_them = (c for own in found.values() for pair in own for c in pair.comparisons)
    return [c for c in all_of_them if c.estimate is not None and not c.of_other]


def said_apart(found: Mapping[str, Sequence[Pair]]) -> list[str]:
    """A line for each comparison whose arms are apart."""
    return [
        f"{task}: {pair.one.label} and {pair.other.label}: {c.verdict} (p {c.corrected:.2g}, corrected)"
        for task, own in found.items()
        for pair in own
        for c in pair.comparisons
        if c.apart and not c.of_other
    ]


def _pairs(study: Study, task: str, measured: Sequence[Measure]) -> list[Pair]:
    arms = study.on(task)
    spreads = {}
    for measure in measured:
        values = [own for arm in arms if (own := measure.at(arm, task)) is not None]
        spreads[measure.name] = spread_of_seeds(values)
    return [_pair(one, other, task, measured, spreads) for one, other in itertools.combinations(arms, 2)]


def _pair(
    one: Arm, other: Arm, task: str, measured: Sequence[Measure], spreads: Mapping[str, Spread]
) -> Pair:
    (posed, problems), (other_posed, other_problems) = (a.policies(task)[0].posed for a in (one, other))
    if posed != other_posed or problems != other_problems:
        return Pair(one, other, [], "not compared: they were not asked, sampled and graded alike")
    bases = {base.origin.weights for arm in (one, other) for base in arm.bases(task)}
    checkers = {side.soundness for arm in (one, other) for side in arm.policies(task)}
    comparisons = [
        Comparison(measure.name, None, "their gaps are to different bases")
        if measure.of_base and len(bases) > 1
        else Comparison(measure.name, None, "their reasoning was not looked at alike")
        if measure.name.startswith("sound") and (len(checkers) > 1 or None in checkers)
        else _compared(one, other, task, measure, spreads[measure.name])
        for measure in measured
    ]
    return Pair(one, other, comparisons, None)


def _compared(one: Arm, other: Arm, task: str, measure: Measure, spread: Spread) -> Comparison:
    """What two arms' seeds and problems tell of one measure."""
    own, others = measure.at(one, task), measure.at(other, task)
    if own is None or others is None:
        return Comparison(measure.name, None, "not estimated: fewer samples than K")
    estimate = difference_over_seeds(own, others, spread)
    n = min(side.counts.n_max for arm in (one, other) for side in arm.policies(task))
    seeds = min(len(own), len(others))
    tried = f"{own.shape[1]} problems x {n} samples"
    return Comparison(
        measure.name,
        estimate,
        f"cannot be told apart with {tried if seeds == 1 else f'{seeds} seeds x {tried}'}",
        of_other=measure.of_base and _same_base(one, other, task),
    )


def _corrected(pair: Pair, corrected: Iterator[float], measured: Sequence[Measure]) -> Pair:
    """With the p-values of its comparisons, and the verdict on those that are apart."""
    by_name = {measure.name: measure for measure in measured}
    made: list[Comparison] = []
    for c in pair.comparisons:
        if c.estimate is None:
            made.append(c)
            continue
        p = made[0].corrected if c.of_other else next(corrected)
        told = c._replace(corrected=p)
        made.append(told._replace(verdict=_verdict(pair, told, by_name[c.measure])) if told.apart else told)
    return pair._replace(comparisons=made)


def _verdict(pair: Pair, comparison: Comparison, measure: Measure) -> str:
    value = comparison.estimate.value if comparison.estimate else 0.0
    better = pair.one if measure.sign * value > 0 else pair.other
    alone = min(len(arm.runs) for arm in (pair.one, pair.other)) == 1
    note = ", with one seed: another might not" if alone else ""
    return f"{better.label} {measure.better} {100 * abs(value):.1f} points{note}"


def _same_base(one: Arm, other: Arm, task: str) -> bool:
    """Whether all runs are held against one measurement, so that gaps differ as pass@1 does."""
    first, *rest = (base.counts for arm in (one, other) for base in arm.bases(task))
    return all(counts == first for counts in rest)


def _sound_at(arm: Arm, task: str, k: int) -> Values | None:
    sides = soundly(arm.policies(task))
    return None if sides is None else pass_at_k(sides, k)


def _gaps(arm: Arm, task: str, k: int) -> Values | None:
    base_k = pass_at_k(arm.bases(task), k)
    return None if base_k is None else base_k - certain(arm.policies(task), 1)
