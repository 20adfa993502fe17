"""Equations as answers: which value they state, and whether they are true."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rlvr.graders.math.reading.numbers import arithmetic
from rlvr.graders.math.reading.parsing import NAME, shape
from rlvr.graders.math.reading.shapes import Relation, Same, Shape, Word
from rlvr.graders.math.reading.statements import agrees

VARIABLE = re.compile(r"(?:[a-zA-Z]|\\(?!pi|infty)[a-zA-Z]+)(?:_(?:\w|\{\w+\}))?")
_SYMBOL = re.compile(
    r"(?<![a-zA-Z\\])[a-zA-Z](?![a-zA-Z]{3})|\\(?:alpha|beta|gamma|theta|phi|lambda|mu|omega|sigma)(?![a-zA-Z])"
)
# Sizes and functions of a name: the equation tells their value and is not there to be solved.
_QUANTITY = re.compile(
    r"\|[^|]+\||\\(?:sin|cos|tan|cot|sec|csc|log|ln|max|min|gcd|overline|angle|triangle|vec|text|det|operatorname|deg)(?![a-zA-Z]).*"
    r"|[A-Za-z]'*(?:_\w)?\(.*\)"
)


@dataclass(frozen=True, slots=True)
class Asserted:
    """What an equation states. values: sides of which any may be meant; claim: two that must be equal."""

    values: tuple[str, ...]
    claim: tuple[str, str] | None


def asserted(relation: Relation, wanted: Shape) -> Asserted | None:
    """The value that an answer of the form "expression = value" states; None where it is an equation.

    2 + 3 = 5, m + n = 47, |v| = 3 and 5 = x state values. x + 1 = 5 has yet to be solved.
    """
    if not set(relation.signs) <= {"=", r"\approx"}:
        return None
    left, right = relation.sides[0], relation.sides[-1]
    if isinstance(wanted, Relation) and (symbols(left) or symbols(right)):
        return None
    if r"\approx" in relation.signs:
        exact = relation.sides[-2]
        named = NAME.fullmatch(left) and symbols(left)
        claim = None if len(relation.sides) == 2 and named else (exact, right)
        return Asserted((right,) if claim is None else (exact, right), claim)
    if (NAME.fullmatch(left) and symbols(left)) or isinstance(shape(left), Word):
        return Asserted((right,), None) if not NAME.fullmatch(right) or symbols(right) else None
    if not symbols(left):
        if symbols(right):
            return Asserted((left,), None) if NAME.fullmatch(right) or len(symbols(right)) > 1 else None
        return Asserted((right,), (left, right))
    if len(symbols(left)) > 1 or _QUANTITY.fullmatch(left):
        return Asserted((right,), None)
    return None


def symbols(text: str) -> set[str]:
    """The variables in a compact text."""
    return set(_SYMBOL.findall(re.sub(r"\\(?:text|mathrm)\{[^{}]*\}", "", text)))


def holds(left: str, right: str, same: Same) -> bool | None:
    """Whether an equation between two values is true, as far as rounding allows."""
    one, other = arithmetic(left), arithmetic(right)
    if one is not None and other is not None:
        return agrees(left, right)
    if "." in right or r"\text" in left:
        return True
    return same(left, right)
