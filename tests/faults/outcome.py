"""What a campaign found."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """name: of the campaign. tries, faults: programs that were tried, and faults that they met in all.

    failures: what went wrong, each with the seed or the try that repeats it. notes: figures.
    """

    name: str
    tries: int = 0
    faults: int = 0
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.tries} tries, {self.faults} faults, {len(self.failures)} failures"]
        return "\n".join(
            [*lines, *(f"  {note}" for note in self.notes), *(f"  FAILED {f}" for f in self.failures)]
        )
