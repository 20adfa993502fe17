"""Countdown chains, checked exactly: every step takes numbers off the table and puts its result there.

A step is a line such as "14+7=21". Its operands have to lie on the table, each as often as it is used, and
its result has to be theirs. After the last step one value is left; where the answer can be read, it has that
value. What follows the answer is not read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from rlvr.graders import Mark
from rlvr.graders.countdown import MARKER, MalformedExpression, extract_answer, parse_expression
from rlvr.graders.soundness import StringMarker

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
    steps = [line for _, line in _steps(before_answer(completion).translate(_SIGNS))]
    if len(steps) > MOST_STEPS:
        return False
    for step in steps:
        if not _take(step, table):
            return None if any(letter.isalpha() for letter in step) else False
    left = [*table.elements()]
    answered, value = _answered(completion)  # one that cannot be read says nothing against the chain
    return len(left) == 1 and (not answered or left[0] == value)


def mark(completion: str, reference: Mapping[str, Any]) -> list[Mark]:
    """Each line with a step, and the answer's where the answer can be read: 1.0 where it holds, else 0.0.

    A wrong step is taken as it is written, so that the steps after it are judged by what it claims. Prose is
    not marked, nor an answer after a line of it.
    """
    table = Counter(Fraction(number) for number in reference["numbers"])
    before = before_answer(completion)
    doubted, found = False, []
    for place, (start, line) in enumerate(_steps(before.translate(_SIGNS))):
        holds = place < MOST_STEPS and _take(line, table)
        if not holds and any(letter.isalpha() for letter in line):
            doubted = True
            continue
        found.append(_of_line(start, line, holds))
    answered, value = _answered(completion)
    if answered and not doubted:
        line = completion[len(before) :].partition("\n")[0]
        found.append(_of_line(len(before), line, [*table.elements()] == [value]))
    return found


def _steps(chain: str) -> Iterator[tuple[int, str]]:
    """The lines with an equality, each with the place at which it begins."""
    start = 0
    for line in chain.split("\n"):
        if "=" in line:
            yield start, line
        start += len(line) + 1


def _of_line(start: int, line: str, holds: bool) -> Mark:
    """Without the blanks around it."""
    first = start + len(line) - len(line.lstrip())
    return Mark(first, first + len(line.strip()), float(holds))


def before_answer(completion: str) -> str:
    """The lines before the one that holds the last `answer:`."""
    found = [match.start() for match in re.finditer(MARKER, completion, re.IGNORECASE)]
    return completion[: completion.rfind("\n", 0, found[-1]) + 1] if found else completion


def _take(step: str, table: Counter[Fraction]) -> bool:
    """Whether the step can be taken. Takes it as it is written, with what it lacks on the table."""
    if len(step) > LONGEST_LINE:
        return False
    read = _read_pair(step) or _read_longer(step)
    if read is None:
        return False
    operands, made, result = read
    taken = Counter(operands)
    holds = made == result and not taken - table
    table -= taken
    table[result] += 1
    return holds


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


def _answered(completion: str) -> tuple[bool, Fraction | None]:
    """Whether there is an answer that can be read, and its value: None where it divides by zero."""
    answer = extract_answer(completion)
    try:
        return (False, None) if answer is None else (True, parse_expression(answer).value)
    except MalformedExpression:
        return False, None


def steps() -> StringMarker:
    """The checker of countdown's chains."""
    return StringMarker(decide, version="steps-1", mark=mark)
