r"""Plain formulas -> sympy, by descent: what math-verify's parser makes of them, in a hundredth of its time.

Numbers, letters, sums, products, quotients, powers, roots, factorials, binomials, |x|, floors, ceilings and
the common functions of one argument. Everything else, and whatever two readers may take differently, is left
to that parser. Products and sums stay as they were written, since evaluating them may take for ever.
For a worker process only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import sympy
from latex2sympy2_extended.symbols import get_symbol


class NotPlain(Exception):
    """The text is no plain formula."""


_TOKEN = re.compile(r"\s*(\\[a-zA-Z]+|(?:\d+\.\d+|\.\d+|\d+)(?![\d.,]|\s*E)|[a-zA-Z]|[-+*/^_!=|(){}\[\]])\s*")
_GREEK = frozenset(
    [
        r"\pi",
        r"\theta",
        r"\alpha",
        r"\beta",
        r"\lambda",
        r"\mu",
        r"\phi",
        r"\omega",
        r"\sigma",
        r"\rho",
        r"\tau",
        r"\delta",
        r"\eta",
        r"\zeta",
        r"\nu",
        r"\psi",
    ]
)
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{rf"\{name}": getattr(sympy, name) for name in ("sin", "cos", "tan", "cot", "sec", "csc")},
    **{rf"\arc{name}": getattr(sympy, f"a{name}") for name in ("sin", "cos", "tan")},
    r"\exp": sympy.exp,
}
_LOGARITHMS = {r"\ln": sympy.E, r"\log": sympy.Integer(10)}
_NAMES = (*_FUNCTIONS, *_LOGARITHMS)
# The first tokens of a factor that may stand beside another without a sign.
_FACTORS = {"(", "{", r"\frac", r"\binom", r"\sqrt", r"\lfloor", r"\lceil", *_GREEK, *_NAMES}
# Letters that before a bracket are a factor, not the name of a function.
_FACTOR_LETTERS = frozenset("abckmnprtxyz")


def formula(text: str, real: bool) -> Any:
    """The sympy object of a compact text, unevaluated. real: what is assumed of its variables.

    Raises NotPlain.
    """
    return _Reader(text, real).whole()


class _Reader:
    """One text and the place up to which it is read."""

    def __init__(self, text: str, real: bool):
        self._tokens = _tokens(text)
        self._real = real
        self._at = 0
        self._bars = self._tokens.count("|")
        if self._bars not in (0, 2):
            raise NotPlain(text)

    def whole(self) -> Any:
        found = self._sum()
        if self._next == "=":
            self._take("=")
            found = sympy.Eq(found, self._sum(), evaluate=False)
        if self._next:
            raise NotPlain(self._next)
        return found

    @property
    def _next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self, wanted: str = "") -> str:
        token = self._next
        if not token or (wanted and token != wanted):
            raise NotPlain(token)
        self._at += 1
        return token

    def _sum(self) -> Any:
        found = self._product()
        while self._next in ("+", "-"):
            negative = self._take() == "-"
            term = self._product()
            found = _added(found, _negated(term) if negative else term)
        return found

    def _product(self) -> Any:
        found = self._signed()
        while self._next in ("*", "/", r"\cdot"):
            divided = self._take() == "/"
            factor = self._signed()
            found = _quotient(found, factor) if divided else _multiplied(found, factor)
        return found

    def _signed(self) -> Any:
        if self._next == "-":
            self._take()
            return _negated(self._signed())
        if self._next == "+":
            self._take()
            return self._signed()
        return self._beside_each_other(after_function=False)

    def _beside_each_other(self, after_function: bool) -> Any:
        """Factors without a sign between them. An argument without brackets ends before the next function."""
        factors = [self._factor()]
        while self._begins_factor():
            if after_function and (self._next in _NAMES or self._next == r"\sqrt"):
                break
            if after_function and self._next in ("(", "{", "e"):
                raise NotPlain(self._next)
            factors.append(self._factor())
        found = factors.pop()
        while factors:
            found = _multiplied(factors.pop(), found)
        return found

    def _begins_factor(self) -> bool:
        token = self._next
        if token[:1].isdigit() or token[:1] == ".":
            if self._tokens[self._at - 1][-1:].isdigit():
                raise NotPlain(token)  # 2 3 is no product
            return True
        return token in _FACTORS or (len(token) == 1 and token.isalpha())

    def _factor(self) -> Any:
        found, raised = self._base()
        while self._next == "!":
            if raised:
                raise NotPlain("!")
            self._take()
            found = sympy.factorial(found, evaluate=False)
            if self._next == "^":
                raise NotPlain("!^")
        if self._next == "^":
            if raised:
                raise NotPlain("^")
            self._take()
            found = sympy.Pow(found, self._exponent(), evaluate=False)
            if self._next in ("^", "!"):
                raise NotPlain(self._next)
        return found

    def _exponent(self) -> Any:
        """A group in braces, or one number or letter."""
        if self._next == "{":
            return self._group("{", "}")
        token = self._take()
        if token[0].isdigit() and len(token) == 1:
            return sympy.Integer(token)
        if (token.isalpha() and token not in ("e", "d")) or token in _GREEK:
            if self._next in ("_", "^", "("):
                raise NotPlain(self._next)
            return self._symbol(token)
        raise NotPlain(token)

    def _base(self) -> tuple[Any, bool]:
        """What a power or factorial is taken of, and whether it has its exponent already."""
        token = self._next
        if token == "{" and self._at == 0:
            raise NotPlain("perhaps a set")
        if token in ("(", "{"):
            return self._group(token, ")" if token == "(" else "}"), False
        if token == "|":
            self._take()
            inside = self._sum()
            self._take("|")
            return sympy.Abs(inside, evaluate=False), False
        self._take()
        match token:
            case r"\frac":
                return _quotient(self._group("{", "}"), self._group("{", "}")), False
            case r"\binom":
                return sympy.binomial(self._group("{", "}"), self._group("{", "}")), False
            case r"\sqrt":
                return self._root(), False
            case r"\lfloor" | r"\lceil":
                return self._rounded(token), False
            case "e":
                return self._exponential()
        if token in _NAMES:
            return self._function(token), True
        if token[0].isdigit() or token[0] == ".":
            return sympy.Number(token.lstrip("0") or "0" if token.isdigit() else token), False
        if token in _GREEK or (len(token) == 1 and token.isalpha()):
            return self._letter(token), False
        raise NotPlain(token)

    def _group(self, opening: str, closing: str) -> Any:
        self._take(opening)
        found = self._sum()
        self._take(closing)
        return found

    def _root(self) -> Any:
        if self._next == "[":
            index = self._group("[", "]")
            return sympy.Pow(self._group("{", "}"), 1 / index, evaluate=False)
        return sympy.Pow(self._group("{", "}"), sympy.S.Half, evaluate=False)

    def _rounded(self, opening: str) -> Any:
        inside = self._sum()
        self._take(opening.replace("l", "r", 1))
        return (sympy.floor if "floor" in opening else sympy.ceiling)(inside, evaluate=False)

    def _exponential(self) -> tuple[Any, bool]:
        if self._next in ("_", "("):
            raise NotPlain(self._next)
        if self._next != "^":
            return sympy.exp(1), False
        self._take()
        return sympy.exp(self._exponent()), True

    def _letter(self, token: str) -> Any:
        if token == "d" and (self._next[:1].isalpha() or self._next in _GREEK):
            raise NotPlain("a differential")
        index = ""
        if self._next == "_":
            self._take()
            index = self._take()
            if index == "{":
                index = self._take()
                self._take("}")
            if not index.isalnum():
                raise NotPlain(index)
            index = f"_{index}" if len(index) == 1 else f"_{{{index}}}"
        if self._next == "(" and (index or token not in _FACTOR_LETTERS or self._one_in_brackets):
            raise NotPlain("perhaps a function of what stands in brackets")
        return self._symbol(token + index)

    @property
    def _one_in_brackets(self) -> bool:
        return self._tokens[self._at + 2 : self._at + 3] == [")"]

    def _symbol(self, name: str) -> Any:
        return sympy.I if name == "I" else get_symbol(name, self._real, False)

    def _function(self, name: str) -> Any:
        base = _LOGARITHMS.get(name)
        if name == r"\log" and self._next == "_":
            self._take()
            base = self._exponent()
        power = None
        if self._next == "^":
            self._take()
            power = self._exponent()
            if power == -1 and base is not None:
                raise NotPlain("one over a logarithm, or a power")
            if power == -1:
                name, power = name.replace("\\", r"\arc"), None
        argument = self._argument()
        if base is not None:
            value = sympy.log(argument, base, evaluate=False)
        elif name in _FUNCTIONS:
            value = _FUNCTIONS[name](argument, evaluate=False)
        else:
            raise NotPlain(name)
        return value if power is None else sympy.Pow(value, power, evaluate=False)

    def _argument(self) -> Any:
        if self._next in ("(", "{"):
            found = self._group(self._next, ")" if self._next == "(" else "}")
            if self._next not in ("", "+", "-", ")", "}", "=", *_NAMES):
                raise NotPlain(self._next)
            return found
        if self._next in _NAMES or self._next in ("-", "+", "|"):
            raise NotPlain(self._next)
        found = self._beside_each_other(after_function=True)
        if self._next in ("*", "/", r"\cdot", "|"):
            raise NotPlain(self._next)
        return found


def _tokens(text: str) -> list[str]:
    found, place = [], 0
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:
            raise NotPlain(text[place:])
        found.append(token[1])
        place = token.end()
    return found


def _added(one: Any, other: Any) -> Any:
    terms = [term for side in (one, other) for term in (side.args if side.is_Add else (side,))]
    return sympy.Add(*terms, evaluate=False)


def _multiplied(one: Any, other: Any) -> Any:
    factors = [factor for side in (one, other) for factor in (side.args if side.is_Mul else (side,))]
    return sympy.Mul(*factors, evaluate=False)


def _negated(value: Any) -> Any:
    return -value if value.is_Number else _multiplied(sympy.Integer(-1), value)


def _quotient(over: Any, under: Any) -> Any:
    if over.is_Integer and under.is_Integer:
        return sympy.Rational(over, under)
    return sympy.Mul(over, sympy.Pow(under, -1, evaluate=False), evaluate=False)
