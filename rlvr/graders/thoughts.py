"""Verdicts on completions that begin inside a thought, because their prompt opened it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rlvr.graders import Status, Verdict, Verifier

OPENING = "<think>"
_TAG = re.compile(r"<(/?)think>")


def ends_in_thought(prompt: str) -> bool:
    """Whether the last thought that a prompt opens is still open where it ends."""
    tags = _TAG.findall(prompt)
    return bool(tags) and not tags[-1] and prompt.rstrip().endswith(OPENING)


@dataclass(frozen=True)
class AfterThought:
    """Gives a verifier what follows the first end of a thought; a completion without one is unparsed."""

    inner: Verifier

    @property
    def version(self) -> str:
        return f"{self.inner.version}+thought"

    @property
    def confinement(self) -> str | None:
        return self.inner.confinement

    def __call__(self, completion: str, reference: Any) -> Verdict:
        return self.grade([(completion, reference)])[0]

    def grade(self, items: Sequence[tuple[str, Any]]) -> list[Verdict]:
        """The verdict on each (completion, reference), in order."""
        said = [completion.partition("</think>") for completion, _ in items]
        ended = [i for i, (_, closing, _) in enumerate(said) if closing]
        verdicts = [Verdict(Status.UNPARSED, 0.0)] * len(items)
        for i, verdict in zip(
            ended, self.inner.grade([(said[i][2], items[i][1]) for i in ended]), strict=True
        ):
            verdicts[i] = verdict
        return verdicts
