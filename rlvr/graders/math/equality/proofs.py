"""Exact proofs that two formulas are, or are not, the same rational function. For a worker process only."""

from __future__ import annotations

from math import comb
from typing import Any

import sympy

# Expanded polynomials of more terms are not worth a proof.
_MOST_TERMS = 3000


def identical(a: Any, b: Any) -> bool | None:
    """Whether two sympy expressions are one rational function of their variables.

    None where they are none with rational coefficients, or where expanding them would take long.
    """
    if a == b:
        return True
    degrees = _degree(a), _degree(b)
    if None in degrees:
        return None
    symbols = len(a.free_symbols | b.free_symbols)
    if comb(sum(d or 0 for d in degrees) + symbols, symbols) > _MOST_TERMS:
        return None
    numerator, _ = sympy.together(a - b).as_numer_denom()
    return bool(sympy.expand(numerator) == 0)


def _degree(expression: Any) -> int | None:
    """The degree of numerator and denominator together, at most; None for what is no rational function."""
    if expression.is_Rational:
        return 0
    if expression.is_Symbol:
        return 1
    degrees = [_degree(argument) for argument in expression.args]
    if expression.is_Pow:
        exponent = expression.exp
        if degrees[0] is None or not exponent.is_Integer or abs(exponent) > _MOST_TERMS:
            return None
        return degrees[0] * abs(int(exponent))
    if not (expression.is_Add or expression.is_Mul) or None in degrees:
        return None
    # a sum of fractions multiplies their denominators
    return sum(d or 0 for d in degrees)
