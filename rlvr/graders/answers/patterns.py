"""Right if the whole answer matches a regular expression, in a worker that can be killed.

A pattern may take for ever on some text, and nothing stops it in the process that runs it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

from rlvr.graders import Status, Verdict
from rlvr.graders.answers.reading import Place, read_answer
from rlvr.sandbox import CallFailed, Limits, TimedOut, WorkerPool

SECONDS = 2.0


@cache
def workers() -> WorkerPool:
    """Those that match, shared by all verifiers of this process."""
    return WorkerPool("rlvr.graders.answers.match:matches", limits=Limits(SECONDS), packages=False)


@dataclass(frozen=True)
class RegexVerifier:
    """reference: a pattern of Python's re, or a list of them; one has to match the whole answer."""

    place: Place

    @property
    def version(self) -> str:
        return f"regex-1-{self.place}"

    @property
    def confinement(self) -> str:
        return workers().confinement.name

    def __call__(self, completion: str, reference: str | list[str]) -> Verdict:
        return self.grade([(completion, reference)])[0]

    def grade(self, items: Sequence[tuple[str, str | list[str]]]) -> list[Verdict]:
        """The verdict on each (completion, reference), in order."""
        with ThreadPoolExecutor(workers().workers) as threads:
            return list(threads.map(lambda item: self._verdict(*item), items))

    def _verdict(self, completion: str, reference: str | list[str]) -> Verdict:
        start = time.perf_counter()
        answer = read_answer(completion, self.place)
        status = Status.UNPARSED
        if answer is not None:
            patterns = [reference] if isinstance(reference, str) else reference
            try:
                status = Status.CORRECT if workers().call(patterns, answer) else Status.WRONG
            except TimedOut:
                status = Status.TIMED_OUT
            except CallFailed:
                status = Status.WRONG
        score = 1.0 if status is Status.CORRECT else 0.0
        return Verdict(status, score, answer, time.perf_counter() - start)
