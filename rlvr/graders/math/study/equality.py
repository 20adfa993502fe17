r"""Whether two answers are equal by the study's rules: strings, floats, then part by part and by algebra."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import isclose

from rlvr.graders.math.study.answers import CHOICES, cleaned_choice

TOLERANCE = 1e-4
_BRACKETED = re.compile(r"[(\[].+[)\]]")
_MATRIX = re.compile(r"\\begin\{[pb]matrix\}.*\\end\{[pb]matrix\}", re.DOTALL)
_FENCE = len(r"\begin{pmatrix}"), len(r"\end{pmatrix}")


def by_strings(given: str, wanted: str) -> bool | None:
    """The same text, choice or number; None where that is not enough to decide."""
    if given.strip().lower() == wanted.strip().lower():
        return True
    if wanted in CHOICES and cleaned_choice(given) == wanted:
        return True
    numbers = number(given), number(wanted)
    if numbers[0] is not None and numbers[1] is not None:
        return any(near(numbers[0], value) for value in (numbers[1] / 100, numbers[1], numbers[1] * 100))
    return None if given else False


def number(text: str) -> float | None:
    """A float without commas; one with a per cent sign is a hundredth."""
    text = text.replace(",", "")
    for spelling, part in ((text, 1), (text.removesuffix("%").removesuffix("\\"), 100)):
        try:
            return float(spelling) / part
        except ValueError:
            if not text.endswith("%"):
                return None
    return None


def near(one: float, other: float) -> bool:
    return isclose(one, other, rel_tol=TOLERANCE)


class Comparison:
    """same: equality of two expressions by algebra."""

    def __init__(self, same: Callable[[str, str], bool]):
        self.same = same

    def of(self, given: str, wanted: str) -> bool:
        """Whether the normalised answers are equal."""
        decided = by_strings(given, wanted)
        if decided is not None:
            return decided
        given, wanted = given.strip(), wanted.strip()
        if "pmatrix" in given and "pmatrix" not in wanted:
            wanted = _as_matrices(wanted)
        return (
            _without_fences(given, wanted)
            or self._parts(given, wanted)
            or self._cells(given, wanted)
            or self._equations(given, wanted)
            or self.same(given, wanted)
        )

    def _parts(self, given: str, wanted: str) -> bool:
        """(a, b) and [c, d]: by the commas between the first and the last character."""
        if not (_BRACKETED.match(given) and _BRACKETED.match(wanted)):
            return False
        return self._all(given[1:-1].split(","), wanted[1:-1].split(","))

    def _cells(self, given: str, wanted: str) -> bool:
        if not (_MATRIX.fullmatch(given) and _MATRIX.fullmatch(wanted)):
            return False
        left, right = (
            [row.split("&") for line in text[_FENCE[0] : -_FENCE[1]].split(r"\\") if (row := line.strip())]
            for text in (given, wanted)
        )
        return len(left) == len(right) and all(map(self._all, left, right))

    def _all(self, given: list[str], wanted: list[str]) -> bool:
        return len(given) == len(wanted) and all(map(self.of, given, wanted))

    def _equations(self, given: str, wanted: str) -> bool:
        """Two equations by the difference of their sides; beside a value, what follows a short name."""
        sides = given.split("="), wanted.split("=")
        if len(sides[0]) == len(sides[1]) == 2:
            one, other = (f"{left.strip()} - ({right.strip()})" for left, right in sides)
            return self.same(one, other) or self.same(f"-({one})", other)
        if len(sides[0]) == 2 and len(sides[1]) == 1 and len(sides[0][0].strip()) <= 2:
            return self.of(sides[0][1], wanted)
        if len(sides[1]) == 2 and len(sides[0]) == 1 and len(sides[1][0].strip()) <= 2:
            return self.of(given, sides[1][1])
        return False


def _as_matrices(text: str) -> str:
    """{1,2} as a matrix, wrongly written: only the same mistake would match."""
    return ", ".join(
        rf"\begin{{pmatrix}}{found.strip('{}').replace(',', chr(92))}\end{{pmatrix}}"
        for found in re.findall(r"\{.*,.*\}", text)
    )


def _without_fences(given: str, wanted: str) -> bool:
    """The same text without braces, parentheses, and the square brackets of one of several parts."""
    square = given.startswith("[") and given.endswith("]") and not wanted.startswith("(")
    round_ = given.startswith("(") and given.endswith(")") and not wanted.startswith("[")
    texts = [text.strip("[]()") if square or round_ else text for text in (given, wanted)]
    one, other = (re.sub(r"[{}()]", "", text).lower() for text in texts)
    return one == other
