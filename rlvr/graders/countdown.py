"""Countdown verifier: parses the answer expression and checks it with exact arithmetic.

The answer is read by a tokenizer and a recursive-descent parser of our own, never by `eval`.
Length, literal size and nesting are bounded, so no answer can hang the caller or exhaust its stack,
and the verdict needs no worker process.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from rlvr.graders import Status, StringVerifier

MARKER = "answer:"
MAX_CHARACTERS = 256
MAX_DIGITS = 9
MAX_DEPTH = 32

# ASCII only: `\d` and `\s` would let other scripts' digits and spaces through.
_TOKEN = re.compile(r"[0-9]+|[-+*/()]")
_BLANK = " \t\r"


class MalformedExpression(ValueError):
    """The text is not an expression of the answer grammar, or exceeds its bounds."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed answer: its value (None where it divides by zero), its literals left to right."""

    value: Fraction | None
    literals: tuple[int, ...]


def extract_answer(completion: str) -> str | None:
    """The rest of the line after the last `answer:` (any case), stripped; None if there is none."""
    start = completion.lower().rfind(MARKER)
    # Lower-casing can change the length of non-ASCII text; then search for the marker as written.
    if start >= 0 and len(completion.lower()) != len(completion):
        found = [match.start() for match in re.finditer(MARKER, completion, re.IGNORECASE)]
        start = found[-1] if found else -1
    if start < 0:
        return None
    answer = completion[start + len(MARKER) :].split("\n", 1)[0].strip(_BLANK)
    return answer or None


def parse_expression(text: str) -> Expression:
    """Parse and evaluate integers joined by + - * / and parentheses, exactly.

    No unary sign, no power, no decimals. Raises MalformedExpression for anything else, for more
    than 256 characters, literals above 9 digits and nesting above 32.
    """
    parser = _Parser(_tokenize(text))
    value = parser.sum(depth=0)
    if parser.peek() is not None:
        raise MalformedExpression(f"unexpected {parser.peek()!r}")
    return Expression(value, tuple(parser.literals))


def _tokenize(text: str) -> list[str]:
    if len(text) > MAX_CHARACTERS:
        raise MalformedExpression(f"longer than {MAX_CHARACTERS} characters")
    tokens: list[str] = []
    position = 0
    while position < len(text):
        if text[position] in _BLANK:
            position += 1
            continue
        match = _TOKEN.match(text, position)
        if match is None:
            raise MalformedExpression(f"unexpected character {text[position]!r}")
        tokens.append(match.group())
        position = match.end()
    return tokens


@dataclass
class _Parser:
    """Recursive descent: sum -> product (+|- product)*, product -> atom (*|/ atom)*."""

    tokens: list[str]
    position: int = 0
    literals: list[int] = field(default_factory=list)

    def peek(self) -> str | None:
        return self.tokens[self.position] if self.position < len(self.tokens) else None

    def take(self) -> str:
        token = self.peek()
        if token is None:
            raise MalformedExpression("ends too early")
        self.position += 1
        return token

    def sum(self, depth: int) -> Fraction | None:
        value = self.product(depth)
        while self.peek() in ("+", "-"):
            value = _apply(self.take(), value, self.product(depth))
        return value

    def product(self, depth: int) -> Fraction | None:
        value = self.atom(depth)
        while self.peek() in ("*", "/"):
            value = _apply(self.take(), value, self.atom(depth))
        return value

    def atom(self, depth: int) -> Fraction | None:
        token = self.take()
        if token == "(":
            if depth >= MAX_DEPTH:
                raise MalformedExpression(f"nested deeper than {MAX_DEPTH}")
            value = self.sum(depth + 1)
            if self.take() != ")":
                raise MalformedExpression("unbalanced parenthesis")
            return value
        if not token.isdigit():
            raise MalformedExpression(f"expected a number, found {token!r}")
        if len(token) > MAX_DIGITS:
            raise MalformedExpression(f"a number of more than {MAX_DIGITS} digits")
        self.literals.append(int(token))
        return Fraction(int(token))


def _apply(operator: str, left: Fraction | None, right: Fraction | None) -> Fraction | None:
    if left is None or right is None:
        return None
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    if operator == "*":
        return left * right
    return left / right if right else None


def decide(completion: str, reference: Mapping[str, Any]) -> tuple[Status, str | None]:
    """Verdict on one completion; reference: {"numbers": list[int], "target": int}.

    correct: the answer uses every number exactly once, no other, and equals the target.
    wrong: a well-formed expression that does not. unparsed: no well-formed answer. Never timed out.
    """
    answer = extract_answer(completion)
    return (Status.UNPARSED, None) if answer is None else decide_expression(answer, reference)


def decide_expression(answer: str, reference: Mapping[str, Any]) -> tuple[Status, str | None]:
    """As `decide`, of the expression alone."""
    try:
        expression = parse_expression(answer)
    except MalformedExpression:
        return Status.UNPARSED, answer[:MAX_CHARACTERS]
    uses_all = sorted(expression.literals) == sorted(reference["numbers"])
    hit = expression.value is not None and expression.value == reference["target"]
    return (Status.CORRECT if uses_all and hit else Status.WRONG), answer


countdown_verifier = StringVerifier(decide, version="countdown-1")
