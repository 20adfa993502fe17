"""Unions of intervals of real numbers in one normal form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

# A bound: a number, or an infinity; float("inf") compares with fractions.
Bound: TypeAlias = Fraction | float
INFINITE = float("inf")


@dataclass(frozen=True, slots=True)
class Interval:
    """The numbers between two bounds, with those bounds that belong to it."""

    low: Bound
    has_low: bool
    high: Bound
    has_high: bool

    @property
    def empty(self) -> bool:
        return self.low > self.high or (self.low == self.high and not (self.has_low and self.has_high))


Reals: TypeAlias = tuple[Interval, ...]
ALL: Reals = (Interval(-INFINITE, False, INFINITE, False),)


def union(intervals: Sequence[Interval]) -> Reals:
    """Sorted, apart from each other, none empty."""
    merged: list[Interval] = []
    for item in sorted((i for i in intervals if not i.empty), key=lambda i: (i.low, not i.has_low)):
        last = merged[-1] if merged else None
        if last and (item.low < last.high or (item.low == last.high and (item.has_low or last.has_high))):
            high, has_high = max((last.high, last.has_high), (item.high, item.has_high))
            merged[-1] = Interval(last.low, last.has_low, high, has_high)
        else:
            merged.append(item)
    return tuple(merged)


def complement(reals: Reals) -> Reals:
    """All other numbers."""
    gaps: list[Interval] = []
    low: Bound = -INFINITE
    has_low = False
    for item in reals:
        gaps.append(Interval(low, has_low, item.low, not item.has_low and item.low != -INFINITE))
        low, has_low = item.high, not item.has_high
    gaps.append(Interval(low, has_low and low != INFINITE, INFINITE, False))
    return union([g for g in gaps if g.low != INFINITE])


def intersection(a: Reals, b: Reals) -> Reals:
    """The numbers in both."""
    return complement(union([*complement(a), *complement(b)]))
