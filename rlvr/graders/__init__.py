"""Verifiers: completion text + reference -> verdict. No torch in this package."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from rlvr.core.versions import source_version


class Status(StrEnum):
    """A verifier's four possible decisions on one completion."""

    CORRECT = "correct"
    WRONG = "wrong"
    UNPARSED = "unparsed"
    TIMED_OUT = "timed_out"


class Mark(NamedTuple):
    """What a part of a text is worth: its characters from `start` up to, not including, `end`.

    score: a checker's is 1.0 for a step that holds, 0.0 for a wrong one, or between.
    """

    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier decided about one completion.

    score: 1.0 for a correct answer, 0.0 otherwise, unless the task grants partial credit (0..1).
    extracted: the answer that was found in the text, None if there was none.
    seconds: wall time of the decision.
    misplaced: the answer stood elsewhere than the prompt asks for, which a lenient grader overlooks.
    sound: whether the chain before the answer holds, by the task's checker (`rlvr.graders.soundness`); None
    where nobody looked, or it could not be decided. It says nothing of the status, nor that of it.
    marks: the steps that the checker could decide on, in the order of the text; empty where nobody asked.
    """

    status: Status
    score: float
    extracted: str | None = None
    seconds: float = 0.0
    misplaced: bool = False
    sound: bool | None = None
    marks: tuple[Mark, ...] = ()

    @property
    def correct(self) -> bool:
        return self.status is Status.CORRECT

    @property
    def well_formed(self) -> bool:
        """Whether there was an answer where the prompt asks for it."""
        return self.status is not Status.UNPARSED and not self.misplaced


class Verifier(Protocol):
    """Decides whether a completion answers a problem."""

    @property
    def version(self) -> str:
        """Changes whenever a verdict could."""
        ...

    @property
    def confinement(self) -> str | None:
        """How the processes that grade are confined, for the record; None where there are none."""
        ...

    def __call__(self, completion: str, reference: Any) -> Verdict: ...

    def grade(self, items: Sequence[tuple[str, Any]]) -> list[Verdict]:
        """The verdict on each (completion, reference), in order; pools work on several at a time."""
        ...


@dataclass(frozen=True)
class StringVerifier:
    """A verifier made of a few lines of our own string code, safe to run in the calling process.

    decide: (completion, reference) -> (status, extracted answer or None)
    version: by default a hash of the source that `decide` stands in.
    """

    decide: Callable[[str, Any], tuple[Status, str | None]]
    version: str = ""

    def __post_init__(self) -> None:
        if not self.version:
            object.__setattr__(self, "version", source_version(self.decide))

    @property
    def confinement(self) -> None:
        return None

    def __call__(self, completion: str, reference: Any) -> Verdict:
        start = time.perf_counter()
        status, extracted = self.decide(completion, reference)
        score = 1.0 if status is Status.CORRECT else 0.0
        return Verdict(status, score, extracted, time.perf_counter() - start)

    def grade(self, items: Sequence[tuple[str, Any]]) -> list[Verdict]:
        return [self(completion, reference) for completion, reference in items]
