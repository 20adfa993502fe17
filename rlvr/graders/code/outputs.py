"""What programs returned or printed, held against what is right."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from rlvr.graders.plain_data import NotPlainData, decode, equal
from rlvr.sandbox import CallFailed, TimedOut


def same_text(printed: Any, wanted: str) -> bool:
    """Equal lines, spaces at their ends and blank lines at the end aside; numbers by their value."""
    if not isinstance(printed, str):
        return False
    given, lines = ([line.strip() for line in text.strip().splitlines()] for text in (printed, wanted))
    return len(given) == len(lines) and all(map(_same_line, given, lines))


def _same_line(given: str, wanted: str) -> bool:
    if given == wanted:
        return True
    words, others = given.split(), wanted.split()
    return len(words) == len(others) and all(map(_same_word, words, others))


def _same_word(given: str, wanted: str) -> bool:
    if given == wanted:
        return True
    try:
        return Decimal(given) == Decimal(wanted)
    except InvalidOperation:
        return False


def decoded(outcomes: Any) -> list[Any]:
    """The values of all outcomes. Raises TimedOut, CallFailed, NotPlainData."""
    if not isinstance(outcomes, list) or not all(isinstance(o, dict) for o in outcomes):
        raise NotPlainData("outcomes that the harness would not write")
    for outcome in outcomes:
        if "timed_out" in outcome:
            raise TimedOut("a test took too long")
        if "value" not in outcome:
            raise CallFailed(str(outcome.get("error")))
    return [decode(outcome["value"]) for outcome in outcomes]


def agrees(value: Any, right: Any, reference: Mapping[str, Any]) -> bool:
    """Whether a value is right by the reference's `comparison` and `tolerance`."""
    comparison = reference["comparison"]
    if comparison == "any":
        return True
    if comparison == "set":
        return _same_members(value, right)
    return equal(value, right, reference["tolerance"], comparison == "sequence")


def _same_members(value: Any, expected: Any) -> bool:
    try:
        return set(value) == set(expected)
    except TypeError:
        return False
