"""Probing beside training: the hook leaves a job for every checkpoint, and another process takes it up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from rich.console import Console

from evals.probe.hook import Probe, is_due
from evals.probe.jobs import Job, claim, leave, pending, remove
from evals.probe.plugin import copied_problems, probed_tasks
from evals.records.probe_dir import ProbeDir
from evals.sampling.instrument import Instrument
from evals.sampling.settings import longest_completion, probe_config
from rlvr.config.schema import Config
from rlvr.core.run_dir import RunDirError
from rlvr.engines.sampler import Sampler, open_model, whole_policy
from rlvr.hooks import CheckpointEvent, HookReport
from rlvr.learning.accelerator import processes
from rlvr.planning.recipe import saved_config

# Seconds between looks for a new job.
PATIENCE = 5.0


class DetachedProbe:
    """A checkpoint hook that measures nothing: it leaves a job and lets training go on."""

    def __init__(self, config: Config, run_dir: ProbeDir, console: Console):
        self.config = config
        self.run_dir = run_dir
        self.console = console
        self.ranks = processes()

    def __call__(self, event: CheckpointEvent) -> HookReport:
        if is_due(probe_config(self.config), self.config.save_every, event) and self.ranks.is_main_process:
            leave(self.run_dir, event, self.console)
        self.ranks.wait_for_everyone()
        return HookReport()


def work(run_dir: ProbeDir, follow: bool, console: Console) -> int:
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

    def __init__(self, run_dir: ProbeDir, console: Console):
        if not run_dir.config.exists():
            raise RunDirError(f"{run_dir.path} holds no run: there is no {run_dir.config.name}")
        self.run_dir = run_dir
        self.ranks = processes()
        config = saved_config(run_dir.config)
        # A server, if the run has one, holds the policy that trains.
        self.engine_config = config.engine.model_copy(update={"mode": "colocate"})
        self.tasks = probed_tasks(config)
        self.tokens = longest_completion(config)
        model = open_model(config.model, self.engine_config, self.ranks.device)
        self.tasks = [model.posed(task) for task in self.tasks]
        self.model = model.fit(self.tasks, self.tokens)
        base = self.opened(config.base_model, self.model.tokenizer)
        self.probes = Probe(
            instrument=Instrument(probe_config(config), self.model.tokenizer, self.tokens, console),
            tasks=self.tasks,
            run_dir=run_dir,
            base=base.path,
            open_base=base.build,
            save_every=config.save_every,
            begins_after=config.steps,
            copied=copied_problems(config, self.tasks),
        )

    def opened(self, model: str | Path, tokenizer: Any = None) -> Sampler:
        sampler = open_model(model, self.engine_config, self.ranks.device, tokenizer)
        return sampler.fit(self.tasks, self.tokens)

    def probe(self, job: Job) -> None:
        """Measures the job's policy and removes the job."""
        with ExitStack() as stack:
            policy = stack.enter_context(whole_policy(job.policy, self.model.path))
            engine = stack.enter_context(self.opened(policy, self.model.tokenizer).engine())
            self.probes(CheckpointEvent(job.step, job.samples, job.policy, engine, job.last))
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
