"""Jobs: checkpoints that wait to be probed, as directories of the run.

A job is jobs/step_000050-<hash>, with policy/ and about.json. Its policy outlives the checkpoint. A job is
done when its directory is gone; one whose worker died is taken up by the next. One that fails lies in
jobs/failed/ from then on, with error.txt, and holds up no other.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from evals.records.probe_dir import ProbeDir
from rlvr.core.checkpoint import keep_policy, weight_hash
from rlvr.core.records import read_object
from rlvr.core.run_dir import step_folder
from rlvr.hooks import CheckpointEvent

# In a job that was set aside.
ERROR = "error.txt"


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
    path = add(run_dir, event.policy, event.step, event.samples, event.last)
    console.print(f"left {path} for: python -m evals probe run={run_dir.path}")


def add(run_dir: ProbeDir, policy: Path, step: int, samples: int = 0, last: bool = False) -> Path:
    """Makes a job of a policy, unless it is one already. Raises CheckpointError without whole weights."""
    path = run_dir.jobs / f"{step_folder(step)}-{weight_hash(policy)[:8]}{'-last' if last else ''}"
    if not path.exists():
        run_dir.jobs.mkdir(parents=True, exist_ok=True)
        keep_policy(policy, path, {"step": step, "samples": samples, "last": last})
    return path


def set_aside(run_dir: ProbeDir, job: Job, error: str) -> Path:
    """Puts a job that failed where it holds up no other, with what went wrong; where that is."""
    place = failed_folder(run_dir) / job.path.name
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(exist_ok=True)
    (job.path / ERROR).write_text(error)
    job.path.rename(place)
    return place


def failed(run_dir: ProbeDir) -> list[Path]:
    """Jobs that were set aside, the earliest step first."""
    return sorted(failed_folder(run_dir).glob("step_[0-9]*"))


def take_back(run_dir: ProbeDir) -> int:
    """Makes jobs of those that were set aside again; how many."""
    aside = failed(run_dir)
    for path in aside:
        (path / ERROR).unlink(missing_ok=True)
        again = run_dir.jobs / path.name
        if again.exists():
            shutil.rmtree(path)
        else:
            path.rename(again)
    return len(aside)


def failed_folder(run_dir: ProbeDir) -> Path:
    return run_dir.jobs / "failed"


def pending(run_dir: ProbeDir) -> list[Job]:
    """Jobs that are not done, the earliest step first."""
    jobs = []
    for path in sorted(run_dir.jobs.glob("step_[0-9]*")):
        with suppress(FileNotFoundError):  # it was done meanwhile
            jobs.append(_job(path))
    return jobs


def _job(path: Path) -> Job:
    """Raises RecordError, FileNotFoundError."""
    remedy = f"remove {path} to go on without this probe"
    about = read_object(path / "about.json", "step", "samples", "last", remedy=remedy)
    return Job(path, about["step"], about["samples"], about["last"])


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
