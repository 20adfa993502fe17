r"""Sets of real numbers: intervals, unions, exclusions, inequalities in one variable, as one normal form.

x != 3, R \ {3} and (-\infty,3) \cup (3,\infty) are one set, and so are -2x <= 8 and [-4, \infty).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

from rlvr.graders.math.equality.intervals import (
    ALL,
    INFINITE,
    Interval,
    Reals,
    complement,
    intersection,
    union,
)
from rlvr.graders.math.reading.shapes import Many, Relation, Scalar, Sentence, Shape, Tuple, Without, Word

# The real number that a compact text is; None where it is none, or this cannot be told.
Value: TypeAlias = Callable[[str], Fraction | None]
# Lists and unions of more parts are not read as sets.
_MOST_PARTS = 64
_INFINITIES = {r"\infty": 1, r"+\infty": 1, r"-\infty": -1}
_REALS = {
    "all reals",
    "all real numbers",
    "real numbers",
    "reals",
    "set of all real numbers",
    "any real number",
}
_NOTHING = {
    "no solution",
    "no solutions",
    "no real solution",
    "no real solutions",
    "empty set",
    "no real roots",
}
_EXCEPT = re.compile(
    r"all real(?:s| numbers| values)?(?: of)?(?: x)?,?"
    r" (?:except|but|other than)(?: for)?(?: x =)? (\S+)",
    re.IGNORECASE,
)
_SYMBOL = re.compile(
    r"(?<![a-zA-Z\\])(?![ei](?![a-zA-Z]))(?:[a-zA-Z]|\\(?!pi|infty|frac|sqrt|cdot)[a-z]+)(?:_(?:\w|\{\w+\}))?(?![a-zA-Z(])"
)
_FLIPPED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le", "=": "=", r"\ne": r"\ne"}
_MARK = "\N{REPLACEMENT CHARACTER}"
_TERM = re.compile(r"[+-]?[^+-]+")
_COEFFICIENT = re.compile(
    rf"(?P<a>[+-]?[^{_MARK}]*?)(?:\\cdot|\*)?{_MARK}(?:/(?P<b>\d+))?"
    rf"|(?P<sign>[+-]?)\\frac\{{(?P<c>[+-]?[^{{}}{_MARK}]*){_MARK}\}}\{{(?P<d>\d+)\}}"
)


def is_set(shape: Shape) -> bool:
    """Whether it says that it is a set of reals; a tuple or list that could be one does not."""
    match shape:
        case Scalar():
            return shape.text == r"\mathbb{R}"
        case Word():
            return shape.text.casefold() in _REALS
        case Sentence():
            return bool(_EXCEPT.fullmatch(shape.words))
        case Tuple(items=(low, high)):
            ends = {i.text for i in (low, high) if isinstance(i, Scalar)}
            return shape.brackets in ("[)", "(]") or bool(ends & set(_INFINITIES))
        case Many():
            return (
                shape.kind == "cup"
                or not shape.items
                or (
                    any(map(_is_bound, shape.items))
                    and all(_is_bound(i) or isinstance(i, Scalar) or is_set(i) for i in shape.items)
                )
            )
        case Relation():
            return _is_bound(shape)
        case Without():
            return True
    return False


def _is_bound(shape: Shape) -> bool:
    return isinstance(shape, Relation) and bool({"<", ">", r"\le", r"\ge", r"\ne"} & set(shape.signs))


@dataclass
class SetReader:
    """Shapes -> sets, with the variable that inequalities are about (None where none is named)."""

    value: Value
    name: str | None = None

    def of(self, shape: Shape) -> Reals | None:
        """The set; None where the shape is none, names two variables, or has bounds without a value."""
        match shape:
            case Scalar(text=r"\mathbb{R}"):
                return ALL
            case Word():
                text = shape.text.casefold()
                return ALL if text in _REALS else () if text in _NOTHING else None
            case Sentence():
                if m := _EXCEPT.fullmatch(shape.words):
                    point = self._point(m[1])
                    return None if point is None else complement(point)
            case Tuple(items=(Scalar(unit=""), Scalar(unit=""))):
                return self._interval(shape)
            case Without():
                whole, removed = self.of(shape.whole), self._members(shape.removed)
                return None if whole is None or removed is None else intersection(whole, complement(removed))
            case Relation():
                return self._relation(shape)
            case Many() if len(shape.items) <= _MOST_PARTS:
                return self._many(shape)
        return None

    def _many(self, shape: Many) -> Reals | None:
        if shape.kind == "{}":
            return self._members(shape)
        read = self._members if shape.kind == "cup" else self.of
        parts: list[Reals] = []
        for item in shape.items:
            previous = shape.items[0]
            if isinstance(item, Scalar) and isinstance(previous, Relation) and previous.signs == (r"\ne",):
                item = Relation((previous.sides[0], item.text), (r"\ne",))  # x != 1, 2
            if (part := read(item)) is None:
                return None
            parts.append(part)
        both = ALL
        for part in parts:
            both = intersection(both, part)
        if shape.kind == "," and both:
            return both
        return union([interval for part in parts for interval in part])

    def _members(self, shape: Shape) -> Reals | None:
        """A set, or the numbers that are listed."""
        if isinstance(shape, Scalar) and shape.text != r"\mathbb{R}":
            return self._point(shape.text)
        if isinstance(shape, Many) and shape.kind != "cup":
            if shape.kind == "{}" and any(
                isinstance(item, Many) and item.kind == "{}" for item in shape.items
            ):
                return None  # a set of sets
            points = [self._members(item) for item in shape.items[: _MOST_PARTS + 1]]
            if len(points) > _MOST_PARTS or None in points:
                return None
            return union([interval for point in points for interval in point or ()])
        return self.of(shape)

    def _point(self, text: str) -> Reals | None:
        number = self.value(text)
        return None if number is None else (Interval(number, True, number, True),)

    def _interval(self, shape: Tuple) -> Reals | None:
        ends = []
        for item in shape.items:
            assert isinstance(item, Scalar)
            sign = _INFINITIES.get(item.text)
            end = sign * INFINITE if sign else self.value(item.text)
            if end is None:
                return None
            ends.append(end)
        low, high = ends
        closed = (
            shape.brackets[0] == "[" and abs(low) != INFINITE,
            shape.brackets[1] == "]" and abs(high) != INFINITE,
        )
        return None if low > high else union([Interval(low, closed[0], high, closed[1])])

    def _relation(self, relation: Relation) -> Reals | None:
        """Each pair of neighbours holds."""
        found = ALL
        for n, sign in enumerate(relation.signs):
            pair = self._inequality(relation.sides[n], sign, relation.sides[n + 1])
            if pair is None:
                return None
            found = intersection(found, pair)
        return found

    def _inequality(self, left: str, sign: str, right: str) -> Reals | None:
        if sign not in _FLIPPED:
            return None
        if right[:1] == "|" or right in _INFINITIES or left in _INFINITIES:
            if left in _INFINITIES or right in _INFINITIES:
                return ALL if sign in ("<", ">") else None
            left, sign, right = right, _FLIPPED[sign], left
        if re.fullmatch(r"\|[^|]+\|", left):
            return self._absolute(left[1:-1], sign, right)
        a, b = self._linear(left), self._linear(right)
        if a is None or b is None or a[0] == b[0]:
            return None
        slope = a[0] - b[0]
        return _ray(sign if slope > 0 else _FLIPPED[sign], (b[1] - a[1]) / slope)

    def _absolute(self, inside: str, sign: str, right: str) -> Reals | None:
        """|ax + b| beside a number."""
        a, size = self._linear(inside), self.value(right)
        if a is None or size is None or a[0] == 0 or size < 0:
            return None
        above, below = (_ray(sign, size), _ray(_FLIPPED[sign], -size))
        outside = sign in (">", r"\ge", "=")
        found = union([*above, *below]) if outside else intersection(above, below)
        moved = []
        for item in found:
            ends = [
                ((x - a[1]) / a[0], has) for x, has in ((item.low, item.has_low), (item.high, item.has_high))
            ]
            (low, has_low), (high, has_high) = sorted(ends, key=lambda end: end[0])
            moved.append(Interval(low, has_low, high, has_high))
        return union(moved)

    def _linear(self, text: str) -> tuple[Fraction, Fraction] | None:
        """Coefficient and constant of ax + b; notes the name of x."""
        if (number := self.value(text)) is not None:
            return Fraction(0), number
        names = set(_SYMBOL.findall(text))
        if len(names) != 1 or (self.name or min(names)) not in names:
            return None
        self.name = names.pop()
        slope, constant = Fraction(0), Fraction(0)
        for term in _TERM.findall(text.replace(self.name, _MARK)):
            if _MARK not in term:
                number = self.value(term.removeprefix("+"))
                if number is None:
                    return None
                constant += number
            elif (number := self._coefficient(term)) is not None:
                slope += number
            else:
                return None
        return slope, constant

    def _coefficient(self, term: str) -> Fraction | None:
        m = _COEFFICIENT.fullmatch(term)
        if not m:
            return None
        over, under = (m["a"], m["b"]) if m["a"] is not None else (m["sign"] + m["c"], m["d"])
        if under and int(under) == 0:
            return None
        number = self.value(over.removeprefix("+") if over.strip("+-") else f"{over}1".removeprefix("+"))
        return None if number is None else number / int(under or 1)


def _ray(sign: str, bound: Fraction) -> Reals:
    """The numbers x for which "x sign bound" holds."""
    closed = sign in (r"\le", r"\ge", "=")
    point = Interval(bound, True, bound, True)
    match sign:
        case "=":
            return (point,)
        case r"\ne":
            return complement((point,))
        case "<" | r"\le":
            return (Interval(-INFINITE, False, bound, closed),)
    return (Interval(bound, closed, INFINITE, False),)
