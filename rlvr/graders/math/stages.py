"""Verdicts in two stages: what strings decide at once, and what is left for algebra in confined workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

from rlvr.graders import Status, Verdict
from rlvr.sandbox import CallFailed

# What a verifier compares with: a text, or several of which any is right.
Reference: TypeAlias = str | Sequence[str]
_RANKS = (Status.UNPARSED, Status.WRONG, Status.TIMED_OUT, Status.CORRECT)


@dataclass(frozen=True, slots=True)
class Open:
    """The question whether an answer is equal to the reference, and what was spent on it so far."""

    answer: str
    reference: str
    misplaced: bool
    seconds: float

    def decided(self, status: Status, seconds: float) -> Verdict:
        """The verdict after so many seconds more."""
        score = 1.0 if status is Status.CORRECT else 0.0
        return Verdict(status, score, self.answer, self.seconds + seconds, self.misplaced)


def settle(found: Sequence[Verdict | Open], equal: Callable[[str, str], bool], workers: int) -> list[Verdict]:
    """The verdicts in order; `equal` raises CallFailed where it was stopped, which is Status.TIMED_OUT.

    All workers are asked at once, each different question one time.
    """

    def ask(question: tuple[str, str]) -> tuple[Status, float]:
        start = time.perf_counter()
        try:
            decision = status(equal(*question))
        except CallFailed:
            decision = Status.TIMED_OUT
        return decision, time.perf_counter() - start

    questions = list(dict.fromkeys((f.answer, f.reference) for f in found if isinstance(f, Open)))
    if len(questions) < 2:  # a thread costs more than what strings decide
        answers = {question: ask(question) for question in questions}
    else:
        with ThreadPoolExecutor(workers) as threads:
            answers = dict(zip(questions, threads.map(ask, questions), strict=True))
    return [f.decided(*answers[f.answer, f.reference]) if isinstance(f, Open) else f for f in found]


def any_of(
    items: Sequence[tuple[str, Reference]], grade: Callable[[list[tuple[str, str]]], list[Verdict]]
) -> list[Verdict]:
    """The verdict on each (completion, reference); of a reference's several texts the best one counts."""
    plain = [(completion, wanted) for completion, wanted in items if isinstance(wanted, str)]
    if len(plain) == len(items):
        return grade(plain)
    texts = [[wanted] if isinstance(wanted, str) else [*wanted] for _, wanted in items]
    flat = [(completion, text) for (completion, _), of in zip(items, texts, strict=True) for text in of]
    verdicts = iter(grade(flat))
    return [max([next(verdicts) for _ in of], key=lambda v: _RANKS.index(v.status)) for of in texts]


def status(equal: bool) -> Status:
    return Status.CORRECT if equal else Status.WRONG
