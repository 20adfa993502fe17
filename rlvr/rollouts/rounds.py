"""Rounds of dynamic sampling: several are drawn in one stream, so that none waits for another's longest.

A round is needed where those before it keep too few groups. That is known beforehand where even a lucky draw
would be too few; how many are kept is guessed from the last step and from this one so far.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rlvr.engines import Completion
from rlvr.tasks import Problem

# Standard deviations above the expected number of kept groups that luck reaches: 2 % of draws pass it.
LUCK = 2.0


@dataclass(frozen=True)
class Kept:
    """Groups that were kept, of how many that were drawn, on all ranks."""

    kept: int = 0
    drawn: int = 0

    def plus(self, other: Kept) -> Kept:
        return Kept(self.kept + other.kept, self.drawn + other.drawn)

    def rounds(self, wanted: int, each: int, most: int) -> int:
        """How many rounds of `each` groups to draw together for `wanted` that are kept: 1 to `most`.

        The m-th is among them where m - 1 rounds keep fewer than wanted even with luck: their number is
        binomial, with (kept + 1) / (drawn + 2) as its rate (Laplace).
        """
        if not self.drawn:
            return 1
        rate = (self.kept + 1) / (self.drawn + 2)
        rounds = 1
        while rounds < most:
            expected = rounds * each * rate
            if expected + LUCK * math.sqrt(expected * (1 - rate)) >= wanted:
                break
            rounds += 1
        return rounds


@dataclass(frozen=True)
class Round:
    """What was drawn of a round on this rank. sampled, greedy: completions of each problem.

    state: the stream's, behind the round.
    """

    problems: Sequence[tuple[int, Problem]]
    prompts: Sequence[tuple[int, ...]]
    sampled: Sequence[Sequence[Completion]]
    greedy: Sequence[Sequence[Completion]]
    state: Mapping[str, int]

    @property
    def completions(self) -> Iterator[Completion]:
        return (each for own in (*self.sampled, *self.greedy) for each in own)
