"""Verdicts in two stages: what strings decide at once, and what is left for algebra in confined workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from rlvr.graders import Status, Verdict
from rlvr.sandbox import CallFailed


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
    with ThreadPoolExecutor(workers) as threads:
        answers = dict(zip(questions, threads.map(ask, questions), strict=True))
    return [f.decided(*answers[f.answer, f.reference]) if isinstance(f, Open) else f for f in found]


def status(equal: bool) -> Status:
    return Status.CORRECT if equal else Status.WRONG
