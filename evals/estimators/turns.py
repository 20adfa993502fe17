"""pass@(k, T): the chance that at least one of k tries is right within T turns, arXiv 2604.14877.

A try of more turns is cut after its T-th: it was right within T turns where it ended right by then. So one
set of samples, drawn with the most turns, gives every T. It says what a policy reaches that has T turns of
those it believes to have; where a problem tells how many there are, another number of turns is another task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evals.estimators.counts import Counts
from evals.estimators.gap import mean_pass_at_k
from evals.estimators.intervals.means import SHARE, Estimate, Interval, mean_interval


@dataclass(frozen=True, eq=False)
class TurnCounts:
    """Of P problems, by the turns 1..T that a try may have.

    n: [P] samples. correct: [T, P] how many were right within so many turns. tokens: [T, P] the mean of what
    a sample's first so many turns had of tokens that were sampled. Raises ValueError for what no episodes
    can give.
    """

    n: NDArray[np.int64]
    correct: NDArray[np.int64]
    tokens: NDArray[np.float64]

    def __post_init__(self) -> None:
        shapes = self.correct.shape, self.tokens.shape
        if self.correct.ndim != 2 or not self.correct.size or {*shapes} != {(len(self.correct), len(self.n))}:
            raise ValueError(f"counts by turns are [turns, problems], not {shapes} of {len(self.n)} problems")
        if (np.diff(self.correct, axis=0) < 0).any() or (np.diff(self.tokens, axis=0) < 0).any():
            raise ValueError("more turns solve no less, and have no fewer tokens")

    @property
    def turns(self) -> int:
        """T, the most."""
        return len(self.correct)

    def within(self, turns: int) -> Counts:
        """The samples, cut after so many turns: pass@(k, T) is their pass@k. Raises ValueError beyond T."""
        if not 1 <= turns <= self.turns:
            raise ValueError(f"{turns} turns: an episode had 1 to {self.turns}")
        return Counts(self.n, self.correct[turns - 1])


def turn_counts(
    owner: NDArray[np.int64],
    problems: int,
    right: Sequence[bool],
    lengths: Sequence[Sequence[int]],
    turns: int,
) -> TurnCounts:
    """From R samples. owner: [R] a sample's problem, 0..problems-1. right: whether its answer is. lengths:
    tokens of each of its turns. turns: the most of a sample."""
    n = np.bincount(owner, minlength=problems)
    needed = np.array([len(own) for own in lengths])
    if needed.max() > turns:
        raise ValueError(f"a sample has {needed.max()} turns, the most are {turns}")
    spent = np.zeros((turns, len(lengths)))
    for i, own in enumerate(lengths):
        spent[: len(own), i] = own
    spent = spent.cumsum(axis=0)
    solved = np.asarray(right, dtype=bool)
    correct = [np.bincount(owner[solved & (needed <= t)], minlength=problems) for t in range(1, turns + 1)]
    tokens = [np.bincount(owner, row, problems) / n for row in spent]
    return TurnCounts(n, np.array(correct), np.array(tokens))


def mean_pass_at(counts: TurnCounts, k: int, turns: int) -> Estimate:
    """pass@(k, T), averaged over problems. Raises ValueError for k above the samples of a problem."""
    return mean_pass_at_k(counts.within(turns), k)


class Bought(NamedTuple):
    """What a number of sampled tokens a problem buys in tries of at most `turns` turns.

    tries: as many on average; where that is no whole number, one of the two beside it is drawn by chance.
    values: [P] the chance that one of them is right.
    """

    turns: int
    tries: float
    values: NDArray[np.float64]

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    @property
    def interval(self) -> Interval:
        """95 % over problems; what a try costs is taken as known."""
        return mean_interval(self.values, SHARE)


def at_equal_tokens(counts: TurnCounts, budget: float) -> list[Bought | None]:
    """For every T what `budget` sampled tokens a problem buy, on average over problems; None where that is
    more tries than there are samples. A try costs what tries of T turns do on average over all problems."""
    return [_bought(counts, turns, budget) for turns in range(1, counts.turns + 1)]


def _bought(counts: TurnCounts, turns: int, budget: float) -> Bought | None:
    tries = budget / float(counts.tokens[turns - 1].mean())
    fewer = floor(tries)
    more = tries - fewer
    within = counts.within(turns)
    if fewer + (more > 0) > within.largest_k:
        return None
    values = np.zeros(len(within))
    if fewer:
        values += (1 - more) * within.pass_at_k(fewer)
    if more:
        values += more * within.pass_at_k(fewer + 1)
    return Bought(turns, tries, values)
