"""The math graders `strict` and `lenient`: a completion's final answer against the reference.

First by string code and exact rationals, here; where these cannot tell, by algebra in a confined worker.
docs/tasks.md says what each grader takes for equal.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

from rlvr.graders import Status, Verdict
from rlvr.graders.math.equality.compare import Rules, compare
from rlvr.graders.math.extract import TemplateName, extract
from rlvr.graders.math.reading.notation import LONGEST_ANSWER
from rlvr.graders.math.stages import Open, Reference, any_of, settle, status
from rlvr.sandbox import Limits, WorkerPool

GraderName: TypeAlias = Literal["strict", "lenient"]

# Raise one whenever a verdict of that grader could change.
VERSIONS: dict[GraderName, str] = {"strict": "math-strict-3", "lenient": "math-lenient-3"}
SECONDS = 2.0
# Formulas of every kind, compared once when a worker starts: parser and algebra are slow the first time.
_WARM_UP = (
    r"\frac{x^{2}-1}{2x+1}, -x\sqrt{2}, 3\pi x+\sqrt[3]{5}, \sin^{2}x+\cos(2x)-\tan x, e^{-2x}\ln x, \cot x",
    r"(x-1)(x+2), \binom{x}{2}x!, \lfloor x/2\rfloor, |x-y|, (1+i)x, 2^{x}-x_{1}, x\cdot 10^{5}, \arctan x",
    r"\frac{\sqrt{2}}{2}, \frac{n(n+1)}{2}, n^{2}+n, 5\sqrt{3}, \sin 30^\circ, \ln 2, \log_{2}x, 10!",
    r"\frac{1}{1+\sqrt{2}}, e^{i\pi}, -\frac{2}{3}i, \pi, \frac{\pi^2}{8}, \cos\frac{\pi}{3}, 0.5x, 2^{n}-2",
    r"x+y=1, x^2+y^2=4, 5x-7y+11z+4=0, \lceil\frac{n}{2}\rceil, a^{2}b-2ab, \frac{a+b}{c}, \binom{9}{3}",
    r"n^{n-1}, (x+1)/2, \sqrt[3]{4}, 9!\cdot 2^{9}, e^{\ln 7}, \ln\frac{1}{3}",
    r"(\sqrt{7}+1)(\sqrt{7}-1), \sqrt{3+2\sqrt{2}}",
    r"\lceil n/2\rceil+1, \frac{-4-\sqrt{31}}{15}, a^2-2ab+b^2, 2^{9}-2^{8}, x^{2y}",
    r"\frac{n!}{(n-1)!}, 1-(\frac{1}{2})^{9}",
    r"\sum_{k=1}^{n} k, \overline{AB}, f(x), 5\angle 30, 1+2i, |3+4i|",
)


def _listed(prefix: str) -> str:
    """All formulas to warm up with as one tuple, each after the prefix."""
    formulas = [formula for line in _WARM_UP for formula in line.split(", ")]
    return f"({', '.join(prefix + formula for formula in formulas)})"


@cache
def algebra() -> WorkerPool:
    """The workers that decide equality by algebra, shared by all math verifiers of this process."""
    return WorkerPool(
        "rlvr.graders.math.equality.symbolic:equal",
        limits=Limits(seconds=SECONDS),
        warm_up=(_listed(""), _listed("0+"), False),
    )


@dataclass(frozen=True)
class MathVerifier:
    """Decides a completion that answers a prompt of this template, by one grader's rules.

    rounding: whether an answer may be rounded to the significant digits of a decimal reference.
    """

    template: TemplateName
    grader: GraderName
    rounding: bool = False

    @property
    def version(self) -> str:
        return VERSIONS[self.grader] + ("+rounding" if self.rounding else "")

    @property
    def confinement(self) -> str:
        return algebra().confinement.name

    @property
    def lenient(self) -> bool:
        return self.grader == "lenient"

    @property
    def rules(self) -> Rules:
        return Rules(self.lenient, self.rounding)

    def __call__(self, completion: str, reference: Reference) -> Verdict:
        """Timed out: the algebra took longer than two seconds, or too much memory."""
        return self.grade([(completion, reference)])[0]

    def grade(self, items: Sequence[tuple[str, Reference]]) -> list[Verdict]:
        """The verdict on each (completion, reference), in order."""
        return any_of(items, self._each)

    def _each(self, items: Sequence[tuple[str, str]]) -> list[Verdict]:
        return settle([self._by_strings(*item) for item in items], self._by_algebra, algebra().workers)

    def _by_strings(self, completion: str, reference: str) -> Verdict | Open:
        start = time.perf_counter()
        answer = extract(completion, self.template, self.lenient)
        if answer is None or len(answer) > LONGEST_ANSWER:
            shown = answer[:LONGEST_ANSWER] if answer else None
            return Verdict(Status.UNPARSED, 0.0, shown, time.perf_counter() - start)
        misplaced = self.lenient and extract(completion, self.template, lenient=False) is None
        equal = compare(answer, reference, self.rules)
        left = Open(answer, reference, misplaced, time.perf_counter() - start)
        return left if equal is None else left.decided(status(equal), 0.0)

    def _by_algebra(self, given: str, wanted: str) -> bool:
        return bool(algebra().call(given, wanted, self.lenient, self.rounding))
