r"""Formulas of the common kinds as sympy objects, by a parser of our own: for a worker process only.

Numbers, letters, + - * / ^, \frac, \sqrt, binomials, factorials, logarithms and the functions of angles. It
takes a millisecond where latex2sympy takes fifty. What has more than one reading (1/2x, \sin x\cos x, f(x)),
would grow beyond bounds, or holds anything else is None, and left to latex2sympy; so the two never differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar

import sympy

# Numbers of more bits are not worked out here, nor factorials and binomials of larger ones. Python writes
# no integer of more than 4,300 digits, which is 14,284 bits.
_MOST_BITS, _MOST_ARGUMENT = 14_000, 1000
_DEEPEST = 40
_GREEK = "alpha|beta|delta|theta|lambda|mu|omega|phi|rho|sigma|tau"
_TOKEN = re.compile(
    r"(?P<number>\d+(?:\.\d+)?)"
    rf"|(?P<symbol>(?:[a-zA-Z]|\\(?:{_GREEK})(?![a-zA-Z]))(?:_(?:\w|\{{\d+\}}|\{{[a-zA-Z]\}}))?) ?"
    r"|(?P<base>\\log_(?:\d|\{\d+\})) ?|(?P<command>\\[a-zA-Z]+) ?|(?P<sign>[-+*/^()={}|!\[\]])"
)
_FUNCTIONS = {rf"\{name}": getattr(sympy, name) for name in ("sin", "cos", "tan", "cot", "sec", "csc")}
_FUNCTIONS |= {rf"\arc{name}": getattr(sympy, f"a{name}") for name in ("sin", "cos", "tan")}
_APPLIED = {*_FUNCTIONS, r"\ln", r"\log"}
_LOGARITHM = re.compile(r"\\ln|\\log(?:_\{?(\d+)\}?)?")
_ROUNDED = {
    r"\lfloor": (r"\rfloor", sympy.floor),
    r"\lceil": (r"\rceil", sympy.ceiling),
    "|": ("|", sympy.Abs),
}
# After these no further factor of the argument of a function can follow.
_ENDS = {"", "+", "-", ")", "]", "}", "=", "|", r"\rfloor", r"\rceil"}
# dx is one name for latex2sympy.
_DIFFERENTIAL = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]*d[a-zA-Z]")


class _OtherText(Exception):
    """The text is none of the formulas that are read here."""


def formula(text: str) -> Any:
    """The sympy expression, or equation, that a compact text is; None where it is left to latex2sympy."""
    if _DIFFERENTIAL.search(text):
        return None
    try:
        read = _Reader(_tokens(text)).whole()
    except _OtherText:
        return None
    if read.has(sympy.zoo, sympy.nan, sympy.oo) or (read.has(sympy.I) and read.free_symbols):
        return None
    sizes = [n for r in read.atoms(sympy.Rational) for n in (r.p, r.q)]
    return None if any(n.bit_length() > _MOST_BITS for n in sizes) else read


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    while at < len(text):
        m = _TOKEN.match(text, at)
        if m is None:
            raise _OtherText
        tokens.append(m[0].rstrip(" "))
        at = m.end()
    return tokens


class _Reader:
    """Recursive descent. Raises _OtherText."""

    def __init__(self, tokens: list[str]):
        self._tokens = [*tokens, ""]
        self._at = 0
        self._depth = 0

    def whole(self) -> Any:
        left = self._sum()
        if self._take("="):
            left = sympy.Eq(left, self._sum(), evaluate=False)
        self._expect("")
        return left

    @property
    def _token(self) -> str:
        return self._tokens[self._at]

    def _next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, token: str) -> bool:
        found = self._token == token
        self._at += found
        return found

    def _expect(self, token: str) -> None:
        if self._next() != token:
            raise _OtherText

    def _sum(self) -> Any:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _OtherText
        terms = [self._signed()]
        while self._token in ("+", "-"):
            terms.append(self._signed())
        self._depth -= 1
        return sympy.Add(*terms)

    def _signed(self) -> Any:
        negative = self._token == "-"
        if self._token in ("+", "-"):
            self._next()
        product = self._product()
        return -product if negative else product

    def _product(self) -> Any:
        value, divided = self._factor(), False
        while True:
            token = self._token
            if token in ("*", r"\cdot", "/"):
                self._next()
                divided = token == "/"
                factor = self._factor()
                value = value / factor if divided else value * factor
            elif token in _ENDS:
                return value
            elif divided or token[0].isdigit() or self._is_applied():
                raise _OtherText
            else:
                value = value * self._factor()

    def _is_applied(self) -> bool:
        """Whether a name stands before a bracket that holds one thing: f(x), x^2(y)."""
        bracket = self._tokens[self._at : self._at + 3]
        after_number = self._tokens[self._at - 1].isdigit() and self._tokens[self._at - 2] != "^"
        return bracket[0] == "(" and bracket[2:] == [")"] and not after_number

    def _factor(self) -> Any:
        start = self._at
        value = self._atom()
        if self._take("!"):
            value = self._whole_function(sympy.factorial, value)
            long = self._at - start > 2
            if self._token == "!" or (self._token == "^" and long):
                raise _OtherText  # n!!, (n+1)!^2
        if self._token != "^":
            return value
        if self._tokens[start] in _APPLIED:
            raise _OtherText  # \sin(x)^2
        self._next()
        if self._take(r"\circ"):
            if not value.is_Integer or self._at - start != 3:
                raise _OtherText
            value = value * sympy.pi / 180
        else:
            value = _power(value, self._exponent())
        if self._token in ("^", "!"):
            raise _OtherText
        return value

    def _exponent(self) -> Any:
        if self._token == "{":
            return self._group()
        token = self._next()
        if token.isdigit() and len(token) == 1:
            return sympy.Integer(token)
        if token.isalpha() and len(token) == 1:
            return _letter(token)
        raise _OtherText

    def _group(self) -> Any:
        self._expect("{")
        inside = self._sum()
        self._expect("}")
        return inside

    def _atom(self) -> Any:
        token = self._next()
        if token[:1].isdigit():
            return sympy.Rational(token)
        if (m := _TOKEN.fullmatch(token)) and m["symbol"]:
            return _letter(token)
        if token in _ROUNDED:
            closing, function = _ROUNDED[token]
            inside = self._sum()
            self._expect(closing)
            return function(inside)
        if token in ("(", "["):
            inside = self._sum()
            self._expect(")" if token == "(" else "]")
            return inside
        if token.startswith(r"\log_"):
            return self._logarithm()
        read = self._commands.get(token)
        if read is None:
            raise _OtherText
        return read(self)

    def _fraction(self) -> Any:
        over, under = self._group(), self._group()
        return over / under

    def _root(self) -> Any:
        degree: Any = 2
        if self._take("["):
            degree = sympy.Integer(self._next()) if self._token.isdigit() else 0
            self._expect("]")
        if not 2 <= degree <= _MOST_ARGUMENT:
            raise _OtherText
        return self._group() ** sympy.Rational(1, degree)

    def _binomial(self) -> Any:
        return self._whole_function(sympy.binomial, self._group(), self._group())

    def _whole_function(self, function: Any, *arguments: Any) -> Any:
        if any(a.is_number and not (a.is_Integer and 0 <= a <= _MOST_ARGUMENT) for a in arguments):
            raise _OtherText
        return function(*arguments)

    def _function(self) -> Any:
        function, power = _FUNCTIONS[self._tokens[self._at - 1]], sympy.Integer(1)
        if self._take("^"):
            power = self._exponent()
            if not (power.is_Integer and 1 < power < 10):
                raise _OtherText
        return function(self._argument()) ** power

    def _logarithm(self) -> Any:
        m = _LOGARITHM.fullmatch(self._tokens[self._at - 1])
        assert m
        base = sympy.E if m[0] == r"\ln" else sympy.Integer(m[1] or 10)
        if base in (0, 1):
            raise _OtherText
        return sympy.log(self._argument()) / sympy.log(base)

    def _argument(self) -> Any:
        r"""What a function is of: all in a bracket, or one factor such as x, 2x, \frac{\pi}{3}."""
        bracket = self._token in ("(", "{")
        if self._token == "{":
            argument = self._group()
        else:
            number = self._token[:1].isdigit()
            argument = self._atom()
            if number and (self._token[:1].isalpha() or self._token in (r"\pi", r"\theta")):
                argument = argument * self._atom()
            if number and self._token == "^" and self._tokens[self._at + 1] == r"\circ":
                self._at += 2
                argument = argument * sympy.pi / 180
        more = self._token not in _ENDS and self._token not in _APPLIED
        if more and (not bracket or self._token == "/"):
            raise _OtherText  # \sin xy, \sin(x)/2
        return argument

    _commands: ClassVar[dict[str, Callable[[_Reader], Any]]] = {
        r"\frac": _fraction,
        r"\sqrt": _root,
        r"\binom": _binomial,
        r"\pi": lambda self: sympy.pi,
        **dict.fromkeys(_FUNCTIONS, _function),
        **dict.fromkeys(_APPLIED - _FUNCTIONS.keys(), _logarithm),
    }


def _letter(name: str) -> Any:
    if name[0] in "EI" or name[:2] in ("e_", "i_") or name.rstrip("}")[1:].endswith("i"):
        raise _OtherText
    if name in ("e", "i"):
        return sympy.E if name == "e" else sympy.I
    return sympy.Symbol(re.sub(r"\\|\{(\w)\}$", r"\1", name), real=True)


def _power(base: Any, exponent: Any) -> Any:
    if exponent.is_number and not base.is_Symbol:
        bits = sum(n.bit_length() - 1 for r in base.atoms(sympy.Rational) for n in (abs(r.p), r.q))
        times = max(1, abs(exponent)) if exponent.is_Rational else 1
        if bits * times > _MOST_BITS:
            raise _OtherText
    return base**exponent
