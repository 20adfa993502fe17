"""Grading of chains of operations: the last `answer:` line is the value after all of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rlvr.graders import Status, StringVerifier
from rlvr.graders.countdown import extract_answer

# A sign, + - or *, and what is added, subtracted or multiplied by.
Operation = tuple[str, int]

MAX_CHARACTERS = 256
_INTEGER = re.compile(r"-?[0-9]{1,9}")


def applied(value: int, sign: str, operand: int) -> int:
    """The value after one operation."""
    return {"+": value + operand, "-": value - operand, "*": value * operand}[sign]


def label(index: int) -> str:
    """The letter that names an operation by its place, from 0."""
    return "abcdefghijklmnopqrstuvwxyz"[index]


def decide(completion: str, reference: Mapping[str, Any]) -> tuple[Status, str | None]:
    """Verdict on one completion; reference: {"answer": int} and what the checker needs.

    correct: the answer is the number. wrong: another number. unparsed: no answer, or no plain number. Never
    timed out.
    """
    answer = extract_answer(completion)
    if answer is None or not _INTEGER.fullmatch(answer):
        return Status.UNPARSED, answer and answer[:MAX_CHARACTERS]
    return (Status.CORRECT if int(answer) == reference["answer"] else Status.WRONG), answer


chain_verifier = StringVerifier(decide, version="chain-1")
