"""Verifier of a mixture of tasks: each task's own decides its problems."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlvr.graders import Verdict, Verifier


@dataclass(frozen=True)
class MixtureVerifier:
    """verifiers: by task name. A reference is {"task": name, "reference": the task's own}."""

    verifiers: Mapping[str, Verifier]

    @property
    def version(self) -> str:
        return _joined(verifier.version for verifier in self.verifiers.values())

    @property
    def confinement(self) -> str | None:
        return _joined(filter(None, (v.confinement for v in self.verifiers.values()))) or None

    def __call__(self, completion: str, reference: Mapping[str, Any]) -> Verdict:
        return self.grade([(completion, reference)])[0]

    def grade(self, items: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Verdict]:
        """The verdict on each (completion, reference), in order; one task after the other."""
        verdicts: dict[int, Verdict] = {}
        for name, verifier in self.verifiers.items():
            own = [i for i, (_, reference) in enumerate(items) if reference["task"] == name]
            graded = verifier.grade([(items[i][0], items[i][1]["reference"]) for i in own])
            verdicts |= zip(own, graded, strict=True)
        return [verdicts[i] for i in range(len(items))]


def _joined(names: Iterable[str]) -> str:
    return "+".join(sorted(set(names)))
