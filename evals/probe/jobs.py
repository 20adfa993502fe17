"""Jobs: checkpoints that wait to be probed, as directories of the run.

A job is jobs/step_000050-<hash>, with policy/ and about.json. Its policy outlives the checkpoint. A job is
done when its directory is gone; one whose worker died is taken up by the next.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from evals.records.probe_dir import ProbeDir


@dataclass(frozen=True)
class Job:
    """A checkpoint that waits to be probed."""

    path: Path
    step: int
    samples: int
    last: bool

    @property
    def policy(self) -> Path:
        return self.path / "policy"


def pending(run_dir: ProbeDir) -> list[Job]:
    """Jobs that are not done, the earliest step first."""
    jobs = []
    for path in sorted(run_dir.jobs.glob("step_[0-9]*")):
        with suppress(FileNotFoundError):  # it was done meanwhile
            jobs.append(Job(path, **json.loads((path / "about.json").read_text())))
    return jobs


def remove(job: Job) -> None:
    """In one rename, so that nobody meets a part of it."""
    gone = job.path.with_name(f".done-{job.path.name}")
    shutil.rmtree(gone, ignore_errors=True)
    job.path.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


@contextmanager
def claim(run_dir: ProbeDir, job: Job) -> Iterator[bool]:
    """Whether the job is there and this process has it alone during the block."""
    with open(run_dir.jobs / f".{job.path.name}.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield job.path.exists()
