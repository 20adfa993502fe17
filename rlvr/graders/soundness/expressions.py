"""Tokens -> the exact value of the arithmetic that stands there, with what makes the reading doubtful.

Numbers joined by + - * / ^ and parentheses, units beside them. Percent signs have two readings, 20 % as
0.2 and as 20, and both are carried along. Nothing is evaluated but by the code here, on fractions of bounded
size.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from rlvr.graders.soundness.tokens import CLOSE, DOUBTFUL, NUMBER, OPEN, OPERATOR, TORN, UNKNOWN, WORD, Token
from rlvr.graders.soundness.vocabulary import NO_UNITS, OPERATIONS, PARTS

MOST_BITS = 4096
LARGEST_POWER = 64
_MOST_DEPTH = 24
# Words of a unit beside a number.
_UNIT_WORDS = 4
# Places at which an expression may begin, of those that are tried.
_STARTS = 16

Values = tuple[Fraction, Fraction]  # percent applied, and not


class UnreadableError(ValueError):
    """There is no arithmetic at this place, or it exceeds the bounds."""


@dataclass
class Expression:
    """values: in both readings of percent signs. numbers, operators, units: those in it. places: decimals
    that a single number shows; decimals: whether any shows some. doubtful: it has another reading; shares:
    percent stands in a sum with something else. labelled, before: whether a word stands before it, and which.
    signed: whether a number has a sign of its own. first: its first number. rest: the tokens after it."""

    values: Values = (Fraction(0), Fraction(0))
    numbers: int = 0
    operators: list[str] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    percent: int = 0
    signed: bool = False
    places: int = 0
    decimals: bool = False
    doubtful: bool = False
    shares: bool = False
    labelled: bool = False
    before: str = ""
    first: Fraction | None = None
    rest: list[Token] = field(default_factory=list)

    @property
    def is_number(self) -> bool:
        """Whether it is a number alone, and not arithmetic."""
        return not self.operators


def at_end(tokens: list[Token]) -> Expression | None:
    """The longest expression that the tokens end with, after words or nothing; None without one."""
    starts = [
        i
        for i, token in enumerate(tokens)
        if _may_begin(token) and (i == 0 or (tokens[i - 1].kind == WORD and token.kind != OPERATOR))
    ]
    for start in starts[-_STARTS:]:
        try:
            found = _read(tokens, start)
        except UnreadableError:
            continue
        if not found.rest:
            found.labelled, found.before = start > 0, tokens[start - 1].text if start else ""
            # 20 + 10 boxes beside the 29 + 24 = 83
            found.doubtful |= any(token.kind == OPERATOR for token in tokens[:start])
            # 2 upon 2 - 1: a word between two numbers may be an operation
            found.doubtful |= start > 1 and _may_operate(tokens[start - 2], tokens[start - 1])
            found.doubtful |= found.before == "and" and [t.text for t in tokens[start + 1 : start + 2]] == [
                "/"
            ]
            return found
    return None


def _may_operate(number: Token, word: Token) -> bool:
    """Whether a word between two numbers, or after half, may be an operation: 1/3 of 12, 1 and 1/4."""
    if number.kind not in (NUMBER, CLOSE):
        return word.text == "of" and number.text in PARTS
    return word.text not in NO_UNITS or word.text in OPERATIONS


def at_start(tokens: list[Token]) -> Expression | None:
    """The longest expression that the tokens begin with, followed by words or nothing; None without one."""
    if not tokens or not _may_begin(tokens[0]):
        return None
    try:
        found = _read(tokens, 0)
    except UnreadableError:
        return None
    return found if not found.rest or found.rest[0].kind in (WORD, OPERATOR, OPEN, CLOSE) else None


def _may_begin(token: Token) -> bool:
    return token.kind in (NUMBER, OPEN, DOUBTFUL) or (token.kind == OPERATOR and token.text in "+-")


def _read(tokens: list[Token], start: int) -> Expression:
    reader = _Reader(tokens, start)
    values = reader.sum(0)
    made = reader.made
    made.values, made.rest = values, tokens[reader.place :]
    if made.rest and made.rest[0].kind == OPEN and not _is_aside(made.rest):
        raise UnreadableError("a product or a remark")
    if made.rest and made.rest[0].kind == OPERATOR and _goes_on(made.rest):
        raise UnreadableError("an operand that is no number")
    return made


def _is_aside(rest: list[Token]) -> bool:
    """Whether a parenthesis after a value holds words: 42 (since 6 * 7 = 42)."""
    return not rest[0].glued and len(rest) > 1 and rest[1].kind == WORD


def _goes_on(rest: list[Token]) -> bool:
    """Whether an operator that no number follows belongs to the arithmetic: 12 * x, and not 12 - so far."""
    dash = rest[0].text == "-" and not rest[0].glued
    return not (dash and len(rest) > 1 and rest[1].kind == WORD)


class _Reader:
    """Recursive descent: sum -> product (+|- product)*, product -> power (*|/ power)*."""

    def __init__(self, tokens: list[Token], place: int):
        self.tokens = tokens
        self.place = place
        self.made = Expression()

    def peek(self, ahead: int = 0) -> Token | None:
        at = self.place + ahead
        return self.tokens[at] if at < len(self.tokens) else None

    def operator(self, allowed: str) -> str | None:
        """Takes the next token if it is such an operator that an operand follows."""
        token = self.peek()
        if token is None or token.kind != OPERATOR or token.text not in allowed:
            return None
        follows = self.peek(1)
        if follows is None or not (_may_begin(follows)):
            return None
        if follows.kind == OPERATOR:  # a sign, which stands at its number
            number = self.peek(2)
            signed = number is not None and number.kind in (NUMBER, OPEN) and number.glued
            if follows.text != "-" or not signed:
                return None
        self.place += 1
        self.made.operators.append(token.text)
        return token.text

    def sum(self, depth: int) -> Values:
        begun = self.made.percent
        values = self.product(depth)
        terms, shares = 1, int(self.made.percent > begun)
        while operator := self.operator("+-"):
            begun = self.made.percent
            other = self.product(depth)
            terms, shares = terms + 1, shares + int(self.made.percent > begun)
            values = _apply(operator, values, other)
        if 0 < shares < terms:
            self.made.doubtful = self.made.shares = True  # 50 - 20 %: of what?
        return values

    def product(self, depth: int) -> Values:
        values, before = self.power(depth), ""
        while True:
            token = self.peek()
            if token is not None and token.kind == OPEN and token.glued and self._behind(CLOSE, NUMBER):
                self.made.operators.append("*")
                self.made.doubtful = True
                values = _apply("*", values, self.power(depth))
            elif operator := self.operator("*/"):
                self.made.doubtful |= operator == before == "/"  # 25 / 1/3
                values, before = _apply(operator, values, self.power(depth)), operator
            else:
                return values

    def power(self, depth: int) -> Values:
        base = self.signed(depth)
        if self.operator("^") is None:
            return base
        numbers, operators = self.made.numbers, len(self.made.operators)
        exponent = self.signed(depth)[0]
        self.made.numbers, self.made.operators[operators:] = numbers, []
        if exponent.denominator != 1 or abs(exponent) > LARGEST_POWER:
            raise UnreadableError("a power that is no small whole number")
        token = self.peek()
        if token is not None and token.kind == OPERATOR and token.text == "^":
            raise UnreadableError("a tower of powers")
        return _power(base[0], int(exponent)), _power(base[1], int(exponent))

    def signed(self, depth: int) -> Values:
        token = self.peek()
        if token is not None and token.kind == OPERATOR and token.text in "+-":
            self.place += 1
            self.made.signed = True
            values = self.atom(depth)
            token_after = self.peek()
            if token_after is not None and token_after.text == "^":
                raise UnreadableError("a sign before a power")
            return (-values[0], -values[1]) if token.text == "-" else values
        return self.atom(depth)

    def atom(self, depth: int) -> Values:
        token = self.peek()
        if token is None:
            raise UnreadableError("ends too early")
        self.place += 1
        if token.kind == DOUBTFUL:
            follows = self.peek()
            digits = follows.text if follows is not None else ""
            self.made.doubtful |= token.text != TORN or len(digits.partition(".")[0]) == 3
            return self.atom(depth)
        if token.kind == OPEN:
            if depth >= _MOST_DEPTH:
                raise UnreadableError("nested too deep")
            values = self.sum(depth + 1)
            closing = self.peek()
            if closing is None or closing.kind != CLOSE:
                raise UnreadableError("unbalanced parenthesis")
            self.place += 1
        elif token.kind == NUMBER:
            self.made.numbers += 1
            self.made.places = token.places
            self.made.decimals |= token.places > 0
            self.made.percent += token.percent
            self.made.first = token.value if self.made.first is None else self.made.first
            values = (token.value / 100 if token.percent else token.value, token.value)
        else:
            raise UnreadableError(f"no number: {token.text}")
        self._units()
        return values

    def _units(self) -> None:
        """Takes the words after an operand."""
        taken = 0
        while (token := self.peek()) is not None and taken < _UNIT_WORDS:
            follows = self.peek(1)
            if token.kind == DOUBTFUL:
                self.made.doubtful = True
            elif token.kind == WORD and token.text not in NO_UNITS:
                self.made.units.append(token.text)
            elif token.text == "/" and follows is not None and follows.kind == WORD:
                self.made.units.append(follows.text)
                self.place += 1
            else:
                break
            self.place += 1
            taken += 1
        if (token := self.peek()) is not None and token.kind in (UNKNOWN, NUMBER):
            raise UnreadableError("two operands side by side")

    def _behind(self, *kinds: str) -> bool:
        return self.tokens[self.place - 1].kind in kinds


def _apply(operator: str, one: Values, other: Values) -> Values:
    return _combine(operator, one[0], other[0]), _combine(operator, one[1], other[1])


def _combine(operator: str, one: Fraction, other: Fraction) -> Fraction:
    if operator == "/":
        if not other:
            raise UnreadableError("a division by zero")
        made = one / other
    else:
        made = one + other if operator == "+" else one - other if operator == "-" else one * other
    return _bounded(made)


def _power(base: Fraction, exponent: int) -> Fraction:
    if not base and exponent < 0:
        raise UnreadableError("a division by zero")
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if bits * abs(exponent) > MOST_BITS:
        raise UnreadableError("a number that is too large")
    return base**exponent


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MOST_BITS:
        raise UnreadableError("a number that is too large")
    return value
