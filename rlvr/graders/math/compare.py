"""Whether two answers are equal, shape by shape; parts without a rational value are left to `same`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

from rlvr.graders.math.notation import rational
from rlvr.graders.math.shapes import (
    FLIPPED,
    NAME,
    Many,
    Matrix,
    Relation,
    Same,
    Scalar,
    Shape,
    Tuple,
    Word,
    listed,
    shape_of,
)

# The study's evaluator takes numbers for equal within this relative distance.
LENIENT_TOLERANCE = 1e-4
# Longer lists are compared in the order in which they stand, so that no answer takes quadratic time.
MOST_ITEMS = 64
_BASE = re.compile(r"(\d+)_(?:\{(-?\d+)\}|(\d+))")


def undecided(given: str, wanted: str) -> None:
    """The `same` of the first stage: two different spellings that are no rational numbers."""


def compare(given: str, wanted: str, lenient: bool, same: Same = undecided) -> bool | None:
    """Whether the answers are equal; None where that depends on what `same` could not tell."""
    return Comparison(lenient, same).of(shape_of(given), shape_of(wanted))


class Comparison:
    """Equality of shapes under one grader's rules."""

    def __init__(self, lenient: bool, same: Same):
        self.lenient = lenient
        self.same = same

    def of(self, given: Shape, wanted: Shape) -> bool | None:
        """Whether two shapes are equal."""
        given, wanted = self._alike(given, wanted)
        if isinstance(given, Many) or isinstance(wanted, Many):
            return self._in_any_order(given, wanted)
        match given, wanted:
            case Word(), Word():
                return given.text.casefold() == wanted.text.casefold()
            case Scalar(), Scalar():
                return self._scalars(given, wanted)
            case Tuple(), Tuple():
                brackets = self.lenient or given.brackets == wanted.brackets
                return brackets and self._in_order(given.items, wanted.items)
            case Matrix(), Matrix():
                if given.fence != wanted.fence or len(given.rows) != len(wanted.rows):
                    return False
                rows = zip(given.rows, wanted.rows, strict=True)
                return every(self._in_order(*row) for row in rows)
            case Relation(), Relation():
                return self._relations(given, wanted)
        return False

    def _alike(self, given: Shape, wanted: Shape) -> tuple[Shape, Shape]:
        """x = 5 beside 5 is 5; 1 < x beside an interval is one; one word beside a letter is a word."""
        if isinstance(given, Relation) != isinstance(wanted, Relation):
            return _value(given), _value(wanted)
        if isinstance(given, Word) != isinstance(wanted, Word):
            return _worded(given), _worded(wanted)
        if self.lenient and {type(given), type(wanted)} == {Tuple, Many}:
            return _elements(given), _elements(wanted)
        return given, wanted

    def _scalars(self, given: Scalar, wanted: Scalar) -> bool | None:
        a, b = rational(given.text), rational(wanted.text)
        one, other = listed(given.text), listed(wanted.text)
        if one and other and self._in_any_order(one, other):
            return True
        if a is not None and b is not None:
            readings = self._readings(a, given.unit, b, wanted.unit)
            return any(self._near(x, y) for x, y in readings)
        if not self.lenient and given.unit and wanted.unit and given.unit != wanted.unit:
            return False
        if given.text == wanted.text:
            return True
        bases = _BASE.fullmatch(given.text), _BASE.fullmatch(wanted.text)
        if bases[0] or bases[1]:
            return _numeral(bases[0]) == _numeral(bases[1])
        return self.same(given.text, wanted.text)

    def _near(self, given: Fraction, wanted: Fraction) -> bool:
        return given == wanted or (self.lenient and abs(given - wanted) <= LENIENT_TOLERANCE * abs(wanted))

    def _readings(
        self, given: Fraction, given_unit: str, wanted: Fraction, wanted_unit: str
    ) -> Iterator[tuple[Fraction, Fraction]]:
        """Pairs of values of which one equal pair is enough."""
        if given_unit == wanted_unit or not (given_unit and wanted_unit) or self.lenient:
            yield given, wanted
        if "%" in (given_unit, wanted_unit):  # 8 % is 0.08
            yield (
                given / 100 if given_unit == "%" else given,
                wanted / 100 if wanted_unit == "%" else wanted,
            )
        if self.lenient:
            yield given, wanted / 100
            yield given, wanted * 100

    def _in_order(self, given: Sequence[Shape], wanted: Sequence[Shape]) -> bool | None:
        if len(given) != len(wanted):
            return False
        return every(self.of(a, b) for a, b in zip(given, wanted, strict=True))

    def _in_any_order(self, given: Shape, wanted: Shape) -> bool | None:
        """A perfect matching of equal items. Equality is transitive, so the first match will do."""
        kinds = {_kind(shape) for shape in (given, wanted) if isinstance(shape, Many)}
        left, right = _items(given), _items(wanted)
        if len(kinds) > 1 or len(left) != len(right):
            return False
        if len(left) > MOST_ITEMS:
            return self._in_order(left, right)
        certain = True
        for item in left:
            verdicts = [self.of(item, other) for other in right]
            if True in verdicts:
                del right[verdicts.index(True)]
            elif None in verdicts:
                certain = False
            else:
                return False
        return True if certain else None

    def _relations(self, given: Relation, wanted: Relation) -> bool | None:
        if given.signs != wanted.signs:
            given = _turned(given)
        if given.signs != wanted.signs:
            return False
        if given.signs == ("=",):
            if given.sides[0] == wanted.sides[0]:
                return self._texts(given.sides[1:], wanted.sides[1:])
            if NAME.fullmatch(given.sides[0]) and NAME.fullmatch(wanted.sides[0]):
                # y = 2x is not z = 2x; x + y = 1 may be 1 = y + x
                return False
            return self.same("=".join(given.sides), "=".join(wanted.sides))
        return self._texts(given.sides, wanted.sides)

    def _texts(self, given: Sequence[str], wanted: Sequence[str]) -> bool | None:
        return self._in_order([shape_of(text) for text in given], [shape_of(text) for text in wanted])


def every(verdicts: Iterable[bool | None]) -> bool | None:
    """All of them: False if one is, else None if one is not decided."""
    found = set(verdicts)
    return False if False in found else None if None in found else True


def _value(shape: Shape) -> Shape:
    """What a relation says of a name: its value, or the interval it lies in."""
    if not isinstance(shape, Relation):
        return shape
    if shape.signs == ("=",):
        left, right = shape.sides
        return shape_of(right) if NAME.fullmatch(left) else shape
    return _interval(shape) or shape


def _interval(relation: Relation) -> Shape | None:
    r"""a < x <= b as (a, b]; x > a as (a, \infty); None for other relations."""
    if relation.signs and relation.signs[0] in (">", r"\ge"):
        relation = _turned(relation)
    if not set(relation.signs) <= {"<", r"\le"}:
        return None
    sides, signs = list(relation.sides), list(relation.signs)
    if len(sides) == 2:
        if NAME.fullmatch(sides[0]):
            sides, signs = [r"-\infty", *sides], ["<", *signs]
        else:
            sides, signs = [*sides, r"\infty"], [*signs, "<"]
    if len(sides) != 3 or not NAME.fullmatch(sides[1]):
        return None
    brackets = ("[" if signs[0] == r"\le" else "(") + ("]" if signs[1] == r"\le" else ")")
    return Tuple((shape_of(sides[0]), shape_of(sides[2])), brackets)


def _turned(relation: Relation) -> Relation:
    """The relation read from right to left."""
    signs = tuple(FLIPPED.get(sign, sign) for sign in reversed(relation.signs))
    return Relation(tuple(reversed(relation.sides)), signs)


def _worded(shape: Shape) -> Shape:
    if isinstance(shape, Scalar) and shape.text.isalpha() and not shape.unit:
        return Word(shape.text)
    return shape


def _items(shape: Shape) -> list[Shape]:
    """The items of a list, those of lists in it included; of another shape, itself."""
    return [i for item in shape.items for i in _items(item)] if isinstance(shape, Many) else [shape]


def _elements(shape: Shape) -> Tuple:
    """A tuple or a list as a tuple, for the lenient rules."""
    return Tuple(shape.items if isinstance(shape, Tuple) else tuple(_items(shape)), "()")


def _kind(shape: Many) -> str:
    """x < 2 or x > 3 is a union, though a comma stands for the word."""
    inequalities = all(isinstance(i, Relation) and i.signs != ("=",) for i in shape.items)
    return "cup" if inequalities else shape.kind


def _numeral(match: re.Match[str] | None) -> tuple[str, str] | None:
    """Digits and base of 52_8; None for an expression without a base."""
    return (match[1].lstrip("0"), match[2] or match[3]) if match else None
