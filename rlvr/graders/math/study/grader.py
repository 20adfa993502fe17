"""The math grader `study`: a completion against the reference as the study's published evaluation decides.

The package's docstring says what it does that a grader should not.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from rlvr.graders import Status, Verdict
from rlvr.graders.math.extract import TemplateName, extract
from rlvr.graders.math.stages import Open, Reference, any_of, settle, status
from rlvr.graders.math.study.answers import answer_of, reference_of
from rlvr.graders.math.study.equality import by_strings
from rlvr.sandbox import Limits, WorkerPool

# Raise it whenever a verdict could change.
VERSION = "math-study-1"
SECONDS = 3.0
# Characters of an answer; an unclosed box holds all that follows it.
LONGEST = 4_000
# Equal pairs, and one that is not, for every parser and step: all are slow the first time.
_WARM_UP = (
    (
        r"\frac{x^{2}-1}{2}",
        r"\sqrt{2}\pi",
        r"\sin{x}+\ln{3}",
        "y-2u=3",
        r"2\begin{pmatrix}1\\x\end{pmatrix}",
        "ab",
    ),
    (
        r"\frac{2x^2-2}{4}",
        r"\pi\sqrt{2}",
        r"\ln{3}+\sin{x}",
        "2u-y=-3",
        r"\begin{pmatrix}2\\2x\end{pmatrix}",
        "**",
    ),
)


@cache
def algebra() -> WorkerPool:
    """The workers that decide by algebra, shared by all verifiers of this kind in this process."""
    return WorkerPool(
        "rlvr.graders.math.study.algebra:equal",
        limits=Limits(seconds=SECONDS),
        warm_up=(f"({', '.join(_WARM_UP[0])})", f"({', '.join(_WARM_UP[1])})"),
    )


@dataclass(frozen=True)
class StudyVerifier:
    """Decides a completion that answers a prompt of this template.

    units: whether units are left out, which the study does for every data set but Minerva.
    """

    template: TemplateName
    units: bool = True

    @property
    def version(self) -> str:
        return VERSION if self.units else f"{VERSION}+units"

    @property
    def confinement(self) -> str:
        return algebra().confinement.name

    def __call__(self, completion: str, reference: Reference) -> Verdict:
        """Timed out: the algebra took longer than three seconds, or too much memory."""
        return self.grade([(completion, reference)])[0]

    def grade(self, items: Sequence[tuple[str, Reference]]) -> list[Verdict]:
        """The verdict on each (completion, reference), in order."""
        return any_of(items, self._each)

    def _each(self, items: Sequence[tuple[str, str]]) -> list[Verdict]:
        return settle([self._by_strings(*item) for item in items], algebra().call, algebra().workers)

    def _by_strings(self, completion: str, reference: str) -> Verdict | Open:
        start = time.perf_counter()
        wanted = reference_of(reference, self.units)
        answer = answer_of(completion, self.template, wanted, self.units)
        if len(answer) > LONGEST or (not answer and wanted):
            shown = answer[:LONGEST] or None
            return Verdict(Status.UNPARSED, 0.0, shown, time.perf_counter() - start)
        misplaced = extract(completion, self.template, lenient=False) is None
        equal = by_strings(answer, wanted)
        left = Open(answer, wanted, misplaced, time.perf_counter() - start)
        return left if equal is None else left.decided(status(equal), 0.0)
