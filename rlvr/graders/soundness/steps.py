"""Countdown chains, checked exactly: every step takes numbers off the table and puts its result there.

A step is a line such as "14+7=21". Its operands have to lie on the table, each as often as it is used, and
its result has to be theirs. After the last step one value is left; where the answer can be read, it has that
value. What follows the answer is not read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from rlvr.graders.countdown import MARKER, MalformedExpression, extract_answer, parse_expression
from rlvr.graders.soundness import StringChecker

MOST_STEPS = 64
LONGEST_LINE = 256
_NUMBER = r"-?[0-9]{1,18}(?:\.[0-9]{1,9})?"
_QUOTIENT = rf"{_NUMBER}(?:/[0-9]{{1,18}})?"
_OPERAND = rf"\s*(?:\(\s*({_QUOTIENT})\s*\)|({_NUMBER}))\s*"
_STEP = re.compile(rf"{_OPERAND}([-+*/]){_OPERAND}=\s*({_QUOTIENT})\s*")
_SIGNS = str.maketrans("\u00d7÷\u2212", "*/-")


def decide(completion: str, reference: Mapping[str, Any]) -> bool | None:
    """Whether the chain is sound; reference: {"numbers": list[int], "target": int}.

    None where a line with an equality is prose, which cannot be read as a step.
    """
    table = Counter(Fraction(number) for number in reference["numbers"])
    steps = [line for line in before_answer(completion).translate(_SIGNS).split("\n") if "=" in line]
    if len(steps) > MOST_STEPS:
        return False
    for step in steps:
        if not _take(step, table):
            return None if any(letter.isalpha() for letter in step) else False
    left = [*table.elements()]
    return len(left) == 1 and _answers(completion, left[0])


def before_answer(completion: str) -> str:
    """The lines before the one that holds the last `answer:`."""
    found = [match.start() for match in re.finditer(MARKER, completion, re.IGNORECASE)]
    return completion[: completion.rfind("\n", 0, found[-1]) + 1] if found else completion


def _take(step: str, table: Counter[Fraction]) -> bool:
    """Whether the step can be taken; takes it."""
    if len(step) > LONGEST_LINE:
        return False
    read = _read_pair(step) or _read_longer(step)
    if read is None:
        return False
    operands, made, result = read
    taken = Counter(operands)
    if made != result or taken - table:
        return False
    table.subtract(taken)
    table[result] += 1
    return True


def _read_pair(step: str) -> tuple[list[Fraction], Fraction, Fraction] | None:
    """Of `a op b = c`: the operands, what they make, and c."""
    read = _STEP.fullmatch(step)
    if read is None:
        return None
    bracketed, left, operator, other, right, result = read.groups()
    try:
        a, b, c = Fraction(bracketed or left), Fraction(other or right), Fraction(result)
        made = {"+": a + b, "-": a - b, "*": a * b}[operator] if operator != "/" else a / b
    except ZeroDivisionError:
        return None
    return [a, b], made, c


def _read_longer(step: str) -> tuple[list[Fraction], Fraction, Fraction] | None:
    """The same of a step with several operations, such as 6+(3*4)=18."""
    expression, _, result = step.partition("=")
    try:
        read, c = parse_expression(expression), Fraction(result.strip())
    except (MalformedExpression, ValueError, ZeroDivisionError):
        return None
    if read.value is None or len(read.literals) < 2:
        return None
    return [Fraction(literal) for literal in read.literals], read.value, c


def _answers(completion: str, value: Fraction) -> bool:
    """Whether the answer has the value; one that cannot be read says nothing against the chain."""
    answer = extract_answer(completion)
    try:
        return answer is None or parse_expression(answer).value == value
    except MalformedExpression:
        return True


def steps() -> StringChecker:
    """The checker of countdown's chains."""
    return StringChecker(decide, version="steps-1")
