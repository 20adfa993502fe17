"""Probing beside training: the hook leaves a job for every checkpoint, and a process of its own takes it up.

A job is a directory jobs/step_000050-<hash> of the run, with policy/ and about.json. Its policy outlives the
checkpoint. A job is done when its directory is gone; one whose worker died is taken up by the next.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from rich.console import Console

from evals.probe.hook import Base, Probe, is_due
from evals.sampling.instrument import Instrument, LazyEngine
from rlvr.config.schema import Config, EngineConfig
from rlvr.core.checkpoint import keep_policy, weight_hash
from rlvr.core.run_dir import RunDir, RunDirError
from rlvr.engines import Engine
from rlvr.engines.build import local_engine
from rlvr.hooks import Moment, Report
from rlvr.models import loading as models
from rlvr.tasks import probed_task

# Seconds between looks for a new job.
PATIENCE = 5.0


class DetachedProbe:
    """A checkpoint hook that measures nothing: it leaves a job and lets training go on."""

    def __init__(self, config: Config, run_dir: RunDir, console: Console):
        self.config = config
        self.run_dir = run_dir
        self.console = console
        self.ranks = PartialState()

    def __call__(self, moment: Moment) -> Report:
        if is_due(self.config.probe, self.config.save_every, moment) and self.ranks.is_main_process:
            self._leave(moment)
        self.ranks.wait_for_everyone()
        return Report()

    def _leave(self, moment: Moment) -> None:
        """A resume has taken back what follows this step, and so the jobs of it that nobody works at."""
        self.run_dir.jobs.mkdir(exist_ok=True)
        for job in pending(self.run_dir):
            if job.step > moment.step:
                with claim(self.run_dir, job) as own:
                    if own:
                        remove(job)
        last = "-last" if moment.last else ""
        name = f"step_{moment.step:06d}-{weight_hash(moment.policy)[:8]}{last}"
        if not (self.run_dir.jobs / name).exists():
            about = {"step": moment.step, "samples": moment.samples, "last": moment.last}
            keep_policy(moment.policy, self.run_dir.jobs / name, about)
        self.console.print(
            f"left {self.run_dir.jobs / name} for: python -m evals probe run={self.run_dir.path}"
        )


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


def pending(run_dir: RunDir) -> list[Job]:
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
def claim(run_dir: RunDir, job: Job) -> Iterator[bool]:
    """Whether the job is there and this process has it alone during the block."""
    with open(run_dir.jobs / f".{job.path.name}.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield job.path.exists()


def work(run_dir: RunDir, follow: bool, console: Console) -> int:
    """Takes up the run's jobs until none is left; returns how many it did.

    follow: waits for more until training has ended. Raises RunDirError where there is no run.
    """
    worker = _Worker(run_dir, console)
    done = 0
    while True:
        more = worker.agreed(follow and not run_dir.finished.exists())  # asked before looking for jobs
        with worker.claimed() as job:
            if job is not None:
                worker.probe(job)
                done += 1
                continue
        if not more:
            return done
        time.sleep(PATIENCE)


class _Worker:
    """What the jobs of one run need."""

    def __init__(self, run_dir: RunDir, console: Console):
        if not run_dir.config.exists():
            raise RunDirError(f"{run_dir.path} holds no run: there is no {run_dir.config.name}")
        self.run_dir = run_dir
        self.ranks = PartialState()
        config = Config.model_validate_json(run_dir.config.read_text())
        self.tasks = [probed_task(c) for c in config.probe.tasks]
        self.model = models.model_directory(config.model)
        base = models.model_directory(config.base_model)
        self.tokenizer = models.load_tokenizer(self.model)
        tokens = config.probe_max_new_tokens
        self.longest = models.check_context(self.model, self.tokenizer, self.tasks, tokens)
        # A server, if the run has one, holds the policy that trains.
        self.engine_config = config.engine.model_copy(update={"mode": "colocate"})
        self.probes = Probe(
            instrument=Instrument(config.probe, self.tokenizer, tokens, console),
            tasks=self.tasks,
            run_dir=run_dir,
            base=Base(base, lambda: self.engine(base)),
            save_every=config.save_every,
        )

    def engine(self, weights: Path) -> Engine:
        return local_engine(weights, self.tokenizer, self.engine_config, self.longest, self.ranks.device)

    def probe(self, job: Job) -> None:
        """Measures the job's policy and removes the job."""
        c: EngineConfig = self.engine_config
        with tempfile.TemporaryDirectory() as room:
            whole = job.policy
            if (job.policy / "adapter_config.json").exists():
                whole = Path(room) / "whole"
                models.merge_adapters(job.policy, whole, str(self.model), "float32")
            with LazyEngine(c.name, c.dtype, lambda: self.engine(whole)) as engine:
                self.probes(Moment(job.step, job.samples, job.policy, engine, job.last))
        if self.ranks.is_main_process:
            remove(job)
        self.ranks.wait_for_everyone()

    @contextmanager
    def claimed(self) -> Iterator[Job | None]:
        """The first job that no other worker has, for this worker alone during the block; None without."""
        with ExitStack() as stack:
            found = None
            for job in pending(self.run_dir) if self.ranks.is_main_process else []:
                if stack.enter_context(claim(self.run_dir, job)):
                    found = job
                    break
            yield broadcast_object_list([found])[0]

    def agreed(self, value: bool) -> bool:
        """The main process's answer."""
        return bool(broadcast_object_list([value])[0])
