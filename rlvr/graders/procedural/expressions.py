"""Values and formulas from text, read and not evaluated: in the place of `eval` and of sympy's `parse_expr`.

reasoning-gym's scorers pass answers to those two, which run whatever code the answer is. Here the text is
parsed, and only the nodes listed below are understood; every other raises Refused.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

BINARY: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow, ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
    ast.LShift: operator.lshift, ast.RShift: operator.rshift, ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_, ast.BitXor: operator.xor,
}  # fmt: skip
UNARY: Mapping[type, Callable[[Any], Any]] = {
    ast.UAdd: operator.pos, ast.USub: operator.neg, ast.Invert: operator.invert,
}  # fmt: skip
ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.UAdd, ast.USub)
FORMULA = (*ARITHMETIC, ast.Pow)
# Of sympy, with numbers and formulas as arguments.
FUNCTIONS = {
    "sin", "cos", "tan", "cot", "sec", "csc", "asin", "acos", "atan", "acot", "asec", "acsc", "sinh",
    "cosh", "tanh", "coth", "sech", "csch", "asinh", "acosh", "atanh", "acoth", "asech", "acsch", "exp",
    "log", "ln", "sqrt", "cbrt", "root", "Abs", "sign", "erf", "erfc", "erfi", "gamma", "factorial",
    "Rational", "Pow", "Mul", "Add", "Si", "Ci", "Ei", "li",
}  # fmt: skip
CONSTANTS = {"pi", "E", "I"}


class Refused(ValueError):
    """The text is more than a value or formula; the message says what stands there."""


def value(text: str, *_: object) -> Any:
    """In the place of `eval`: literals, lists of them, arithmetic on numbers. Raises Refused, SyntaxError."""
    return _plain(_parsed(text))


def formula(text: str, local_dict: Mapping[str, Any] | None = None) -> Any:
    """In the place of `sympy.parse_expr`: numbers, symbols and elementary functions.

    Raises Refused, SyntaxError.
    """
    return _symbolic(_parsed(text), FORMULA, local_dict or {})


def arithmetic(text: str) -> Any:
    """Numbers under + - * / as a sympy number; with symbols and functions any number could be made of none.

    Raises Refused, SyntaxError.
    """
    tree = _parsed(text)
    if any(isinstance(node, ast.Name | ast.Call) for node in ast.walk(tree)):
        raise Refused("a name in an arithmetic expression")
    return _symbolic(tree, ARITHMETIC, {})


def _parsed(text: str) -> ast.expr:
    return ast.parse(text.strip(), mode="eval").body


def _plain(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=value) if value is None or isinstance(
            value, str | bytes | int | float | complex
        ):
            return value
        case ast.List(elts=items):
            return [_plain(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_plain(item) for item in items)
        case ast.Set(elts=items):
            return {_plain(item) for item in items}
        case ast.Dict(keys=keys, values=values) if None not in keys:
            return {_plain(k): _plain(v) for k, v in zip(keys, values, strict=True) if k is not None}
        case ast.UnaryOp(op=op, operand=operand) if type(op) in UNARY:
            return UNARY[type(op)](_number(_plain(operand)))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
            return BINARY[type(op)](_number(_plain(left)), _number(_plain(right)))
    raise Refused(f"{type(node).__name__} is no value")


def _number(value: Any) -> Any:
    if not isinstance(value, int | float | complex):
        raise Refused(f"arithmetic on {type(value).__name__}")
    return value


def _symbolic(node: ast.expr, operators: tuple[type, ...], local: Mapping[str, Any]) -> Any:
    import sympy

    match node:
        case ast.Constant(value=int(number)) if not isinstance(number, bool):
            return sympy.Integer(number)
        case ast.Constant(value=float(number)):
            return sympy.Float(repr(number))
        case ast.Name(id=name):
            if name in local:
                return local[name]
            return getattr(sympy, name) if name in CONSTANTS else sympy.Symbol(name)
        case ast.UnaryOp(op=op, operand=operand) if type(op) in operators:
            return UNARY[type(op)](_symbolic(operand, operators, local))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in operators:
            sides = (_symbolic(side, operators, local) for side in (left, right))
            return BINARY[type(op)](*sides)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
            return getattr(sympy, name)(*(_symbolic(argument, operators, local) for argument in arguments))
    raise Refused(f"{type(node).__name__} in a formula")
