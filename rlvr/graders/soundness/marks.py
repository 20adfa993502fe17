"""Which step of a chain holds and which does not, as spans of its text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

from rlvr.graders import Mark
from rlvr.graders.soundness import Checker, CheckerError, Items, Marker, MixtureChecker, guarded


def marked(checker: Checker, items: Items, task: str) -> list[tuple[Mark, ...]]:
    """The checker's marks of each (completion, reference), in order. task: for the message.

    Raises CheckerError where it has none to give, where it raises, and where a mark is no part of its text.
    """
    marker = marker_of(checker)
    if marker is None:
        raise CheckerError(
            f"task {task}: the checker {checker.version} does not say which step is wrong: it has no "
            "method `marks` (see rlvr.graders.soundness.Marker). Leave rewards.right_step and "
            "rewards.wrong_step out, or give a checker that marks steps, such as task.soundness=steps or "
            "arithmetic"
        )
    found = guarded(checker, marker.marks, items, task)
    if len(found) != len(items):
        raise CheckerError(
            f"task {task}: the checker {checker.version} gave marks of {len(found)} chains for {len(items)}"
        )
    return [_checked(checker, marks, text, task) for marks, (text, _) in zip(found, items, strict=True)]


def marker_of(checker: Checker | None) -> Marker | None:
    """The checker where it can mark steps; of a mixture's where that of one of its tasks can."""
    parts = checker.checkers.values() if isinstance(checker, MixtureChecker) else (checker,)
    return checker if isinstance(checker, Marker) and any(isinstance(one, Marker) for one in parts) else None


def _checked(checker: Checker, marks: Any, text: str, task: str) -> tuple[Mark, ...]:
    made = spans_of(marks, len(text))
    if made is None or not all(0 <= mark.score <= 1 for mark in made):
        raise CheckerError(
            f"task {task}: the checker {checker.version} has to mark parts of the text, each as (start, end, "
            f"score) with 0 <= start < end <= {len(text)} and a score from 0 to 1; it gave {marks!r:.200}. "
            f"The completion is {text!r:.300}"
        )
    return made


def spans_of(given: Any, length: int) -> tuple[Mark, ...] | None:
    """The marks of a text of so many characters that stand in a sequence of (start, end, number); None where
    it is anything else."""
    if not isinstance(given, Sequence) or isinstance(given, str):
        return None
    made = []
    for one in given:
        if not isinstance(one, Sequence) or isinstance(one, str) or len(one) != 3:
            return None
        start, end, score = one[0], one[1], finite(one[2])
        if score is None or not (isinstance(start, Integral) and isinstance(end, Integral)):
            return None
        if not 0 <= int(start) < int(end) <= length:
            return None
        made.append(Mark(int(start), int(end), score))
    return tuple(made)


def finite(value: Any) -> float | None:
    """A number as a float; None for what is none, is not finite, or is a truth value."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):
        return None
    return number if math.isfinite(number) else None
