"""Equality of expressions by sympy, in the steps of the study's evaluator: only for a worker process.

Any step that fails is passed over, as there: `except Exception` is the rule that is reproduced.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from typing import Any

from latex2sympy2_extended.latex2sympy2 import latex2sympy
from sympy import N, Set, simplify
from sympy.parsing.latex import _parse_latex_antlr

from rlvr.graders.math.study.equality import Comparison, near
from rlvr.graders.procedural.expressions import formula

# sympy asks for one version of antlr's runtime; the tables of its parser are read by later ones alike.
_parse_latex_antlr.version = lambda _: "4.11"


def equal(given: str, wanted: str) -> bool:
    """Whether two normalised answers are equal."""
    with contextlib.redirect_stdout(io.StringIO()):  # antlr prints its version
        return Comparison(same).of(given, wanted)


def same(given: str, wanted: str) -> bool:
    """Whether two expressions are, by the first step that says so."""
    one, other = parsed(given), parsed(wanted)
    return any(
        _succeeds(step, one, other) for step in (_as_written, _simplified, _equations, _values, _rounded)
    )


def parsed(text: str) -> Any:
    """By the first of three parsers that understands it, `\\\\` taken for `\\` or not; else the text."""
    for parse in (_parse_latex_antlr.parse_latex, formula, _latex):
        for spelling in (text.replace("\\\\", "\\"), text):
            with contextlib.suppress(Exception):
                return parse(spelling)
    return text


def _latex(text: str) -> Any:
    """Formulas and matrices by the third parser; not sets, which the original's knows nothing of."""
    found = latex2sympy(text)
    if isinstance(found, Set):
        raise ValueError("a set")
    return found


def _succeeds(step: Callable[[Any, Any], Iterator[bool]], one: Any, other: Any) -> bool:
    """Whether one of the step's questions says yes before any fails."""
    with contextlib.suppress(Exception):
        return any(step(one, other))
    return False


def _as_written(one: Any, other: Any) -> Iterator[bool]:
    yield str(one) == str(other)
    yield bool(one == other)


def _simplified(one: Any, other: Any) -> Iterator[bool]:
    yield bool(one.equals(other))
    yield bool(simplify(one - other) == 0)


def _equations(one: Any, other: Any) -> Iterator[bool]:
    yield bool(abs(one.lhs - one.rhs).equals(abs(other.lhs - other.rhs)))


def _values(one: Any, other: Any) -> Iterator[bool]:
    yield near(float(N(one)), float(N(other)))


def _rounded(one: Any, other: Any) -> Iterator[bool]:
    if one.shape == other.shape:
        left, right = (matrix.applyfunc(lambda entry: round(entry, 3)) for matrix in (one, other))
        yield bool(left.equals(right))
