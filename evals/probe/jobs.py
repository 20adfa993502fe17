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

from rich.console import Console

from evals.records.probe_dir import ProbeDir
from rlvr.core.checkpoint import keep_policy, weight_hash
from rlvr.core.run_dir import step_folder
from rlvr.hooks import CheckpointEvent


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


def leave(run_dir: ProbeDir, event: CheckpointEvent, console: Console) -> None:
    """Leaves a job for a checkpoint. Raises CheckpointError where it holds no whole weights.

    A resume has taken back what follows this step, and so the jobs of it that nobody works at.
    """
    run_dir.jobs.mkdir(exist_ok=True)
    for job in pending(run_dir):
        if job.step > event.step:
            with claim(run_dir, job) as own:
                if own:
                    remove(job)
    last = "-last" if event.last else ""
    name = f"{step_folder(event.step)}-{weight_hash(event.policy)[:8]}{last}"
    if not (run_dir.jobs / name).exists():
        about = {"step": event.step, "samples": event.samples, "last": event.last}
        keep_policy(event.policy, run_dir.jobs / name, about)
    console.print(f"left {run_dir.jobs / name} for: python -m evals probe run={run_dir.path}")


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
