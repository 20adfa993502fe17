"""What the probe keeps in a run directory; see "The run directory" in the README."""

from __future__ import annotations

from pathlib import Path

from rlvr.core.run_dir import RunDir, step_folder, step_folders

# The file of gap records, one a line.
RECORDS = "probe.jsonl"


class ProbeDir(RunDir):
    """A run directory with the paths of the probe."""

    def __init__(self, path: str | Path):
        super().__init__(path)
        self.probe = self.path / RECORDS
        self.probes = self.path / "probes"
        self.best = self.path / "best"
        self.jobs = self.path / "jobs"

    @property
    def base(self) -> Path:
        """Where the base's measurements lie."""
        return self.probes / "base"

    def of_step(self, step: int) -> Path:
        """Where the measurements of a step's policy lie."""
        return self.probes / step_folder(step)

    def probed(self) -> dict[int, Path]:
        """The folders of the steps that were probed, the earliest first."""
        return step_folders(self.probes)
