"""Verifier of reasoning-gym's tasks: the data set's own scorer, in a confined worker.

Where a scorer would evaluate an answer, the text is read instead (`rlvr.graders.procedural.expressions`), so
no code of an answer runs beside its scorer; the worker is confined all the same.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rlvr.graders import Status, Verdict
from rlvr.sandbox import CallFailed, Confinement, Limits, TimedOut, WorkerPool

LONGEST_ANSWER = 20_000
DRAW_SECONDS = 60.0


class ProceduralVerifier:
    """Correct is the full score of 1; less is wrong, and worth nothing unless partial_credit.

    settings: the data set's configuration and seed, as JSON. whole_text: a completion without an <answer> tag
    or `answer:` line is an answer as a whole; otherwise it is unparsed.
    """

    version = "reasoning-gym-2"

    def __init__(
        self,
        name: str,
        confinement: Confinement,
        settings: str = "{}",
        whole_text: bool = False,
        partial_credit: bool = False,
        seconds: float = 2.0,
        workers: int | None = None,
    ):
        self.name = name
        self.settings = settings
        self.whole_text = whole_text
        self.partial_credit = partial_credit
        self.pool = WorkerPool(
            "rlvr.graders.procedural.run:run", workers, Limits(seconds, memory_mb=2048),
            warm_up=("make", name, settings), confinement=confinement,
        )  # fmt: skip

    @property
    def confinement(self) -> str:
        """How the processes that grade are confined, for the record."""
        return self.pool.confinement.name

    def __call__(self, completion: str, reference: Mapping[str, Any]) -> Verdict:
        """reference: {"entry": an entry of the data set, encoded}."""
        start = time.perf_counter()
        answer = extract_answer(completion, self.whole_text)
        status, score = Status.UNPARSED, 0.0
        if answer is not None and len(answer) <= LONGEST_ANSWER:
            status, score = self._score(answer, reference["entry"])
        return Verdict(status, score, answer, time.perf_counter() - start)

    def grade(self, items: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Verdict]:
        """The verdict on each (completion, reference), in order."""
        with ThreadPoolExecutor(self.pool.workers) as threads:
            return list(threads.map(lambda item: self(*item), items))

    def draw(self, index: int) -> Any:
        """The encoded entry at an index, the same on every machine. Raises CallFailed."""
        return self.pool.call("draw", self.name, self.settings, index, seconds=DRAW_SECONDS)

    def _score(self, answer: str, entry: Any) -> tuple[Status, float]:
        try:
            score = self.pool.call("score", self.name, self.settings, entry, answer)
        except TimedOut:
            return Status.TIMED_OUT, 0.0
        except CallFailed:
            return Status.WRONG, 0.0
        if score == 1.0:
            return Status.CORRECT, 1.0
        partial = self.partial_credit and isinstance(score, float) and 0 < score < 1
        return Status.WRONG, score if partial else 0.0


def extract_answer(completion: str, whole_text: bool) -> str | None:
    """What the last <answer> tag holds, else the rest of the last line that begins with `answer:`."""
    if (tag := completion.rfind("<answer>")) >= 0:
        return completion[tag + len("<answer>") :].partition("</answer>")[0].strip() or None
    for line in reversed(completion.splitlines()):
        if line.strip().lower().startswith("answer:"):
            return line.strip()[len("answer:") :].strip() or None
    return (completion.strip() or None) if whole_text else None
