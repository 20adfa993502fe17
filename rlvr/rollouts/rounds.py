"""Rounds of dynamic sampling: several are drawn in one stream, so that none waits for another's longest.

A round is needed where those before it keep too few groups. That is known beforehand where even a lucky draw
would be too few; how many are kept is guessed from the last step and from this one so far.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from rlvr.engines import Completion, Request
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


@dataclass(frozen=True)
class Asked:
    """Rounds that are asked for. taken: the problems of each, and the stream's state behind them; prompts: of
    these problems. group_size, greedy: completions of each problem.

    requests: a round's after those of the one before it; in a round a problem's group after that of the
    problem before it, then the greedy ones.
    """

    taken: Sequence[tuple[Sequence[tuple[int, Problem]], Mapping[str, int]]]
    prompts: Sequence[Sequence[tuple[int, ...]]]
    group_size: int
    greedy: int
    requests: Sequence[tuple[Request, Problem]]

    def rounds(self, done: Mapping[int, Completion]) -> list[Round]:
        """done: the completion of each request, by its index."""
        if len(done) != len(self.requests):
            raise RuntimeError(f"the engine returned {len(done)} of {len(self.requests)} completions")
        completions = (done[i] for i in range(len(self.requests)))
        found = []
        for (problems, state), prompts in zip(self.taken, self.prompts, strict=True):
            sampled, greedy = (
                [tuple(islice(completions, size)) for _ in problems]
                for size in (self.group_size, self.greedy)
            )
            found.append(Round(problems, prompts, sampled, greedy, state))
        return found


class DrawingStopped(Exception):
    """The run ends before what it draws is drawn."""


Drawn = Callable[[], list[Round]]
Runs = Callable[[Drawn], Drawn]


@dataclass(frozen=True)
class Begun:
    """A step's rollouts that are asked for. drawn: waits for them; may raise what drawing raised."""

    step: int
    drawn: Drawn
