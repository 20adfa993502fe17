"""Equality of expressions by algebra: math-verify's parser and comparison, held in check by numbers.

Parsing and simplifying a model's answer may run for ever or fill memory: `equal` is only for a worker
process that can be killed. Import it nowhere else.
"""

from __future__ import annotations

import logging
import random
import re
from fractions import Fraction
from functools import lru_cache
from typing import Any

import math_verify
import sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, latex2sympy

from rlvr.graders.math.equality.compare import LENIENT_TOLERANCE, Rules, compare
from rlvr.graders.math.equality.formulas import formula
from rlvr.graders.math.equality.proofs import identical
from rlvr.graders.math.reading.numbers import rational

# It warns that its timeouts are off: the worker has one.
logging.getLogger("math_verify").setLevel(logging.ERROR)

# Values are compared to so many digits: formulas at a few points, constants also to a great many, since
# 1 - 2^-2016 is not 1. The last digits may be lost to rounding.
DIGITS, MANY_DIGITS, LOST = 40, 1500, 15
# The bounds of intervals are compared to so many decimal places.
BOUND_DIGITS = 40
# Formulas without an exact proof are equal if they agree at so many points; those with several branches
# need more. The points depend on both formulas, so that none can be built to vanish at its own.
POINTS, BRANCH_POINTS = 4, 8
# The denominators of points are primes about this size: \sin(97\pi x) is 0 wherever x is a multiple of 1/97.
_DENOMINATORS = (1_000_003, 1_299_709, 1_500_007, 1_700_021, 2_000_003)
_FEWEST, _MOST, _MOST_IN_TOWERS = 3, 97, 19
_CONVERSION = ConversionConfig(lowercase_symbols=False, interpret_as_mixed_fractions=False)
# What the parser would read as something else.
_REPAIRS = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(\d+)\^\\circ", r"{(\\frac{\1\\pi}{180})}"),
        (r"(?<![_^.\d])(\d*\.?\d+)(?=\(|\\(?:binom|frac))", r"\1\\cdot "),  # not a mixed number
        (r"(\d+|[a-zA-Z])!(?=\^)", r"(\1!)"),
        (r"(?<![a-zA-Z\\])([eE])_\{?(\w+)\}?", r"\\epsilon_{\1\2}"),  # not Euler's number
        (r"\\gamma(?![a-zA-Z])", r"g_{gamma}"),  # not Euler's constant
        (r"\\lg(?![a-zA-Z])", r"\\log_{10}"),
        (r"'", r"^{\\prime}"),
        (r"(?<=_)(\{?)\\text", r"\1\\mathrm"),
    )
]
_IMAGINARY = re.compile(r"(?<![a-zA-Z\\])i(?![a-zA-Z])")
_BRANCHES = (sympy.floor, sympy.ceiling, sympy.Mod, sympy.Abs, sympy.Max, sympy.Min)
# Formulas with one of these are meant for positive integers, but for variables that usually are none.
_REAL = {"x", "y", "z", "t"}
_WHOLE = (sympy.floor, sympy.ceiling, sympy.Mod, sympy.factorial, sympy.binomial)


def equal(given: str, wanted: str, lenient: bool, rounding: bool = False) -> bool:
    """Whether two answers are equal under the strict or the lenient rules, by algebra where needed."""

    def same(one: str, other: str) -> bool:
        return _same(one, other, lenient)

    return bool(compare(given, wanted, Rules(lenient, rounding), same, _real))


def _real(text: str) -> Fraction | None:
    """The real number that a compact text is, rounded far below any difference between two answers."""
    if (number := rational(text)) is not None:
        return number
    parsed = _parsed(text)
    if not isinstance(parsed, sympy.Expr) or parsed.free_symbols:
        return None
    value = sympy.N(parsed, 2 * BOUND_DIGITS)
    if not (value.is_real and value.is_finite):
        return None
    return Fraction(
        round(Fraction(*map(int, sympy.Rational(value).as_numer_denom())) * 10**BOUND_DIGITS),
        10**BOUND_DIGITS,
    )


def _same(given: str, wanted: str, lenient: bool) -> bool:
    a, b = _parsed(given), _parsed(wanted)
    if a is None or b is None:
        return False
    if isinstance(a, sympy.Eq) and isinstance(b, sympy.Eq):
        return _same_equation(a, b)
    if _exactly(a, b):
        return True
    rounded = lenient and "." in given + wanted  # without decimals there is nothing to round
    return rounded and bool(_agree(a, b, DIGITS, float(LENIENT_TOLERANCE)))


def _exactly(a: Any, b: Any) -> bool:
    """By proof where there is one, else by values to many digits."""
    formulas = isinstance(a, sympy.Expr) and isinstance(b, sympy.Expr)
    if formulas and (proven := identical(a, b)) is not None:
        return proven
    agree = _agree(a, b, DIGITS, None)
    if agree is None:
        return math_verify.verify(b, a, timeout_seconds=None)
    if agree and not (a.free_symbols or b.free_symbols):
        return bool(_agree(a, b, MANY_DIGITS, None))
    return agree


@lru_cache(maxsize=256)
def _parsed(text: str) -> Any:
    """The sympy object that a compact text is, None if it is none."""
    found = formula(text)
    return _by_latex2sympy(text) if found is None else found


def _by_latex2sympy(text: str) -> Any:
    for pattern, replacement in _REPAIRS:
        text = pattern.sub(replacement, text)
    try:
        parsed = latex2sympy(
            text,
            is_real=not _IMAGINARY.search(text),
            normalization_config=None,
            conversion_config=_CONVERSION,
        )
    except Exception:  # a parser of third-party text raises whatever it likes; the text is then no formula
        return None
    if isinstance(parsed, sympy.Basic):
        parsed = parsed.subs({s: sympy.I for s in parsed.free_symbols if s.name == "i"})
        return sympy.nsimplify(parsed, rational=True) if parsed.has(sympy.Float) else parsed
    return parsed


def _agree(a: Any, b: Any, digits: int, tolerance: float | None) -> bool | None:
    """Whether the values agree at random points, within the tolerance relative to the larger, or else to
    nearly all digits; None where one has no numeric value there.
    """
    if not (isinstance(a, sympy.Expr) and isinstance(b, sympy.Expr)):
        return None
    seen = 0
    for point, must_be_real in _points(a, b):
        try:
            values = [sympy.N(e.doit(), digits, subs=point) for e in (a, b)]
        except (ArithmeticError, AttributeError, NotImplementedError, TypeError, ValueError):
            return None
        if not all(v.is_number and v.is_finite for v in values):
            if must_be_real:
                continue
            return None
        if must_be_real and not all(v.is_real for v in values):
            continue
        allowed = tolerance or sympy.Float(10, digits) ** (LOST - digits)
        distance, size = abs(values[0] - values[1]), max(abs(values[0]), abs(values[1]))
        if distance > allowed * size:
            return False
        seen += 1
    return True if seen else None


def _points(*expressions: Any) -> list[tuple[dict[Any, Any], bool]]:
    """Points to compare at, and whether only real values count there: positive ones, then signs changed.

    One symbol at a time is negative, since sqrt(ab) = sqrt(a) sqrt(b) is meant for positive ones.
    """
    rng = random.Random("|".join(map(sympy.srepr, expressions)))
    symbols = sorted(set().union(*(e.free_symbols for e in expressions)), key=str)
    if not symbols:
        return [({}, False)]
    count = BRANCH_POINTS if any(e.has(*_BRANCHES) for e in expressions) else POINTS
    whole = any(e.has(*_WHOLE) for e in expressions)
    most = _MOST_IN_TOWERS if any(map(_grows_fast, expressions)) else _MOST

    def value(symbol: Any) -> Any:
        if whole and symbol.name not in _REAL:
            return sympy.Integer(rng.randint(_FEWEST, most))
        under = rng.choice(_DENOMINATORS)
        return sympy.Rational(rng.randint(under, 4 * under), under)

    points = [({s: value(s) for s in symbols}, False) for _ in range(count)]
    if whole:
        return points
    first = points[0][0]
    return points + [({**first, s: -first[s]}, True) for s in symbols]


def _grows_fast(expression: Any) -> bool:
    """Whether it has sums, products or powers of powers, which take long at large numbers."""
    if expression.has(sympy.Sum, sympy.Product, sympy.Integral):
        return True
    powers = [p for p in expression.atoms(sympy.Pow) if p.exp.free_symbols]
    return any(p.exp.has(sympy.Pow, sympy.factorial, sympy.binomial) for p in powers)


def _same_equation(a: Any, b: Any) -> bool:
    """Whether one equation is the other times a number: the ratio has one value at all points, not zero."""
    left, right = a.lhs - a.rhs, b.lhs - b.rhs
    if left == 0 or right == 0:
        return False
    ratio = left / right
    values = [
        sympy.N(ratio, DIGITS, subs=point) for point, must_be_real in _points(left, right) if not must_be_real
    ]
    first = values[0]
    if not all(v.is_number and v.is_finite for v in values) or first == 0:
        return False
    if not all(abs(v - first) <= sympy.Float(10, DIGITS) ** (LOST - DIGITS) * abs(first) for v in values):
        return False
    factor = sympy.nsimplify(first, rational=True, tolerance=sympy.Float(10) ** (LOST - DIGITS))
    return identical(left, factor * right) is not False if factor.q < 10**6 else True
