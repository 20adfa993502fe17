"""Chains of operations, checked exactly: every line is the next operation of the problem.

A step is a line such as "4 a+5=9". It begins with the value so far, takes the problem's next operation, and
its result is what that makes. There are as many steps as operations, and the answer, where it can be read,
is the last value. What follows the answer is not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rlvr.graders.chain import applied, label
from rlvr.graders.countdown import extract_answer
from rlvr.graders.soundness import StringChecker
from rlvr.graders.soundness.steps import before_answer

_STEP = re.compile(r"\s*([0-9]{1,9})\s*([a-z])\s*([-+*])\s*([0-9]{1,9})\s*=\s*([0-9]{1,9})\s*")
_WORD = re.compile(r"[^\W\d_]{2,}")


def decide(completion: str, reference: Mapping[str, Any]) -> bool | None:
    """Whether the chain is sound; reference: {"start", "operations": [[sign, operand], ...]}.

    None where a line with an equality is prose, which cannot be read as a step.
    """
    value, operations = reference["start"], reference["operations"]
    steps = [line for line in before_answer(completion).split("\n") if "=" in line]
    for i, step in enumerate(steps):
        read = _STEP.fullmatch(step)
        if read is None:
            return None if _WORD.search(step) else False
        before, name, sign, operand, after = read.groups()
        taken = [sign, int(operand)]
        if i >= len(operations) or name != label(i) or taken != list(operations[i]) or int(before) != value:
            return False
        value = applied(value, sign, int(operand))
        if int(after) != value:
            return False
    return len(steps) == len(operations) and _answers(completion, value)


def _answers(completion: str, value: int) -> bool:
    """Whether the answer is the value; one that is no number says nothing against the chain."""
    answer = extract_answer(completion)
    return answer is None or not answer.isdecimal() or answer.lstrip("0") == str(value).lstrip("0")


def chain() -> StringChecker:
    """The checker of chains of operations."""
    return StringChecker(decide, version="chain-1")
