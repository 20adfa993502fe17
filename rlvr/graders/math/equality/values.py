"""Shapes brought to one kind before they are compared: what an equation says of a name, and the like."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction

from rlvr.graders.math.equality.claims import VARIABLE
from rlvr.graders.math.reading.numbers import arithmetic, rational
from rlvr.graders.math.reading.parsing import NAME, shape
from rlvr.graders.math.reading.shapes import (
    Choice,
    Colons,
    Many,
    Matrix,
    Named,
    Piecewise,
    Relation,
    Scalar,
    Shape,
    Tuple,
    Without,
    Word,
)
from rlvr.graders.math.reading.structure import FLIPPED

BASE = re.compile(r"(\d+)_(?:\{(-?\d+)\}|(\d+))")
_FUNCTION = re.compile(r"[a-zA-Z]\([a-zA-Z]\)")
_DECIMAL = re.compile(r"[+-]?(\d*)\.?(\d*)(?:[eE]([+-]?\d+)|\\cdot10\^\{?([+-]?\d+)\}?)?")


def alike(given: Shape, wanted: Shape, lenient: bool) -> tuple[Shape, Shape]:
    """x = 5 beside 5 is 5; one word beside a letter is a word; values by name beside a tuple are one."""
    if isinstance(given, Relation) != isinstance(wanted, Relation):
        given, wanted = _value(given), _value(wanted)
    if isinstance(given, Named) != isinstance(wanted, Named):
        given, wanted = _unnamed(given, wanted), _unnamed(wanted, given)
    if isinstance(given, Word) != isinstance(wanted, Word):
        given, wanted = _worded(given), _worded(wanted)
    if isinstance(given, Colons) != isinstance(wanted, Colons):
        given, wanted = _quotient(given), _quotient(wanted)
    if isinstance(given, Matrix) != isinstance(wanted, Matrix):
        given, wanted = _row(given, wanted), _row(wanted, given)
    if isinstance(given, Many) != isinstance(wanted, Many):
        given, wanted = _lettered(given, wanted), _lettered(wanted, given)
    if lenient and {type(given), type(wanted)} == {Tuple, Many}:
        return _elements(given), _elements(wanted)
    return given, wanted


def _value(found: Shape) -> Shape:
    """What a relation says of a name: its value."""
    if isinstance(found, Relation) and found.signs == ("=",):
        left, right = found.sides
        return shape(right) if NAME.fullmatch(left) else shape(left) if VARIABLE.fullmatch(right) else found
    return found


def _unnamed(found: Shape, other: Shape) -> Shape:
    """Values without their names, which order them beside a tuple."""
    if not isinstance(found, Named):
        return found
    if isinstance(other, Tuple):
        return Tuple(
            tuple(value for _, value in sorted(found.values, key=lambda item: item[0])), other.brackets
        )
    if isinstance(other, Many):
        # x_1=4, x_2=9 beside x=4, x=9; otherwise a name that differs is another statement
        names = {i.sides[0][0] for i in other.items if isinstance(i, Relation) and i.signs == ("=",)}
        if names and names != {name[0] for name, _ in found.values}:
            return found
        bare = [value for _, value in found.values]
        return Many(tuple(Relation((min(names), _text(v)), ("=",)) for v in bare) if names else tuple(bare))
    return Many(tuple(value for _, value in found.values))


def _text(found: Shape) -> str:
    return found.text if isinstance(found, Scalar | Word) else ""


def _worded(found: Shape) -> Shape:
    if isinstance(found, Scalar) and found.text.isalpha() and not found.unit:
        return Word(found.text)
    return found


def _quotient(found: Shape) -> Shape:
    """3:2 beside a number is 3/2, unless it is a time."""
    if isinstance(found, Colons) and len(found.parts) == 2 and not found.is_time:
        value = arithmetic(f"{found.parts[0]}/{found.parts[1]}")
        if value is not None and value.denominator > 1:
            return Scalar(_written(value))
    return found


def _row(found: Shape, other: Shape) -> Shape:
    """A matrix of one row beside a tuple, or rows in square brackets beside a matrix."""
    if isinstance(found, Matrix) and isinstance(other, Tuple) and len(found.rows) == 1 and not found.fence:
        return Tuple(scaled(found).rows[0], other.brackets)
    if isinstance(found, Tuple) and isinstance(other, Matrix) and found.brackets == "[]":
        rows = [item for item in found.items if isinstance(item, Tuple) and item.brackets == "[]"]
        if len(rows) == len(found.items):
            return Matrix(tuple(row.items for row in rows), "")
    return found


def _lettered(found: Shape, other: Shape) -> Shape:
    """BD beside a list of letters is the list B, D."""
    text = getattr(found, "text", "")
    if isinstance(other, Many) and re.fullmatch(r"(?=.{2,})[A-J]+", text) and all(map(letter, other.items)):
        return Many(tuple(Word(character) for character in text))
    return found


def _elements(found: Shape) -> Tuple:
    """A tuple or a list as a tuple, for the lenient rules."""
    return Tuple(found.items if isinstance(found, Tuple) else tuple(members(found)), "()")


def letter(found: Shape) -> str:
    """The letter of a choice; "" for what is none."""
    if isinstance(found, Choice):
        return found.letter
    text = getattr(found, "text", "")
    return text.upper() if re.fullmatch("[A-J]", text, re.IGNORECASE) else ""


def members(found: Shape) -> list[Shape]:
    """The items of a list, those of lists in it included; of another shape, itself."""
    if not isinstance(found, Many):
        return [found]
    return [i for item in found.items for i in ([Scalar(r"\emptyset")] if is_empty(item) else members(item))]


def kind(found: Many) -> str:
    """x < 2 or x > 3 is a union, though a comma stands for the word."""
    inequalities = all(isinstance(i, Relation) and i.signs != ("=",) for i in found.items)
    return "cup" if inequalities or found.kind == "cup" else ","


def is_empty(found: Shape) -> bool:
    return isinstance(found, Many) and not found.items


def listed(text: str) -> Many | None:
    """1,234 read as a list, since commas may also part the items of one; None without a comma."""
    return Many(tuple(Scalar(part) for part in text.split(","))) if "," in text else None


def colons_agree(given: Colons, wanted: Colons) -> bool:
    """The same time, where the half of the day may be left out; or the same ratio, where one is no time."""
    if given.half and wanted.half and given.half != wanted.half:
        return False
    if len(given.parts) != len(wanted.parts):
        return False
    one, other = ([Fraction(part) for part in found.parts] for found in (given, wanted))
    if one == other:
        return True
    if given.is_time or wanted.is_time:
        return False
    return all(a * other[0] == b * one[0] for a, b in zip(one, other, strict=True)) and bool(
        one[0] and other[0]
    )


def cases(given: Piecewise, wanted: Piecewise) -> tuple[list[Tuple], list[Tuple]]:
    """The cases as tuples. The case beside an "otherwise" is compared without its condition."""
    sides = []
    for one, other in ((given, wanted), (wanted, given)):
        unsaid = {n for n, case in enumerate(other.cases) if len(case) == 1}
        rows = [case[:1] if n in unsaid and len(unsaid) == 1 else case for n, case in enumerate(one.cases)]
        sides.append([Tuple(tuple(row), "()") for row in rows])
    return sides[0], sides[1]


def scaled(matrix: Matrix) -> Matrix:
    """The matrix with its factor multiplied in."""
    if not matrix.factor:
        return matrix
    number = arithmetic("".join(matrix.factor.split())) if matrix.factor != "-" else Fraction(-1)

    def times(cell: Shape) -> Shape:
        if not isinstance(cell, Scalar):
            return cell
        entry = rational(cell.text)
        if number is not None and entry is not None:
            return Scalar(_written(number * entry))
        return Scalar(f"{'-1' if matrix.factor == '-' else matrix.factor}\\cdot({cell.text})")

    return Matrix(tuple(tuple(times(cell) for cell in row) for row in matrix.rows), matrix.fence)


def _written(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else f"{value.numerator}/{value.denominator}"


def arithmetic_of(given: str, wanted: str) -> tuple[Fraction, Fraction] | None:
    """The values of both, where both are arithmetic on numbers."""
    one, other = arithmetic(given), arithmetic(wanted)
    return None if one is None or other is None else (one, other)


def half_a_digit(text: str) -> Fraction:
    """Half a unit of a decimal's or scientific number's last digit; 0 for a number that is not rounded."""
    m = _DECIMAL.fullmatch(text)
    if not m or not ("." in text or m[3] or m[4]):
        return Fraction(0)
    return Fraction(10) ** (int(m[3] or m[4] or 0) - len(m[2])) / 2


def same_name(one: str, other: str) -> bool:
    """f(x) and y name the same; so do two equal names."""
    if one == other:
        return True
    return "y" in (one, other) and any(_FUNCTION.fullmatch(name) for name in (one, other))


def turned(relation: Relation) -> Relation:
    """The relation read from right to left."""
    signs = tuple(FLIPPED.get(sign, sign) for sign in reversed(relation.signs))
    return Relation(tuple(reversed(relation.sides)), signs)


def interval(found: Shape, other: Shape) -> Shape:
    r"""a < x <= b as (a, b]; x > a as (a, \infty). Other shapes, or beside a relation, as they are."""
    if not isinstance(found, Relation) or isinstance(other, Relation):
        return found
    relation = turned(found) if found.signs[0] in (">", r"\ge") else found
    if not set(relation.signs) <= {"<", r"\le"}:
        return found
    sides, signs = list(relation.sides), list(relation.signs)
    if len(sides) == 2:
        if NAME.fullmatch(sides[0]):
            sides, signs = [r"-\infty", *sides], ["<", *signs]
        else:
            sides, signs = [*sides, r"\infty"], [*signs, "<"]
    if len(sides) != 3 or not NAME.fullmatch(sides[1]):
        return found
    brackets = ("[" if signs[0] == r"\le" else "(") + ("]" if signs[1] == r"\le" else ")")
    return Tuple((shape(sides[0]), shape(sides[2])), brackets)


def bounded(*shapes: Shape) -> bool:
    """Whether all could be sets whose bounds algebra might find."""
    return all(isinstance(s, Relation | Tuple | Many | Without) for s in shapes)


def every(verdicts: Iterable[bool | None]) -> bool | None:
    """All of them: False if one is, else None if one is not decided."""
    found = set(verdicts)
    return False if False in found else None if None in found else True


def numeral(match: re.Match[str] | None) -> tuple[str, str] | None:
    """Digits and base of 52_8; None for an expression without a base."""
    return (match[1].lstrip("0"), match[2] or match[3]) if match else None
