"""What was drawn for a record of a run, in whichever part of the run that was."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from rlvr.core.run_dir import append_jsonl, read_jsonl


class Draws:
    """The samples of one record, noted as they are stored. A part that is interrupted leaves its notes to the
    next, so a record costs what it cost, however often the run was stopped.

    directory: where the notes lie, a file a rank. step, task: of the record.
    """

    def __init__(self, directory: Path, step: int, task: str, rank: int = 0):
        self.directory = directory
        self.record = {"step": step, "task": task}
        self.file = directory / f"drawn-{rank}.jsonl"

    def note(self, sample_set: str, keys: Sequence[tuple[str, int]]) -> None:
        """Right before samples are stored: a process that dies in between draws them again, and then they
        count once. sample_set: its name. keys: prompt and index of each."""
        self.directory.mkdir(parents=True, exist_ok=True)
        samples: dict[str, list[int]] = {}
        for prompt, index in sorted(keys):
            samples.setdefault(prompt, []).append(index)
        append_jsonl(self.file, self.record | {"set": sample_set, "samples": samples})

    def total(self, sample_sets: Collection[str]) -> int:
        """Samples that were drawn for the record, of these sets, on all ranks and in all parts."""
        rows = [row for file in sorted(self.directory.glob("drawn-*.jsonl")) for row in read_jsonl(file)]
        own = (r for r in rows if self.record.items() <= r.items() and r["set"] in sample_sets)
        return len({(r["set"], p, i) for r in own for p, indices in r["samples"].items() for i in indices})
