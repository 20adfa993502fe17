"""Probing beside training: the hook leaves a job for every checkpoint, and another process takes it up."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from accelerate.utils import broadcast_object_list
from rich.console import Console

from evals.probe.hook import Probe, is_due
from evals.probe.jobs import ERROR, Job, claim, leave, pending, remove, set_aside
from evals.probe.plugin import copied_problems, probed_tasks
from evals.records.probe_dir import ProbeDir
from evals.sampling.instrument import Instrument
from evals.sampling.settings import longest_completion, probe_config
from rlvr.config.schema import Config, MonitorConfig
from rlvr.core.replacing import remove_litter
from rlvr.core.run_dir import RunDirError
from rlvr.engines.sampler import Sampler, open_model, whole_policy
from rlvr.hooks import CheckpointEvent, HookReport
from rlvr.learning.accelerator import processes
from rlvr.planning.recipe import saved_config
from rlvr.tracking.wandb_thread import WandbThread

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


class Worked(NamedTuple):
    """How many jobs were done, and where those lie that failed."""

    done: int
    aside: tuple[Path, ...]


def work(run_dir: ProbeDir, follow: bool, console: Console) -> Worked:
    """Takes up the run's jobs until none is left. One that fails is set aside, with its error.

    follow: waits for more until training has ended. Raises RunDirError where there is no run.
    """
    done, aside = 0, list[Path]()
    with Worker(run_dir, console) as worker:
        while True:
            more = worker.agreed(follow and not run_dir.finished.exists())  # asked before looking for jobs
            found = worker.take_up()
            if found is None and not more:
                return Worked(done, tuple(aside))
            if found is None:
                time.sleep(PATIENCE)
            elif isinstance(found, Path):
                aside.append(found)
            else:
                done += 1


class Worker:
    """What the jobs of one run need, for the block in which they are done.

    What is measured goes to wandb too, where the run is configured so: as a run of its own, NAME-probe.
    """

    def __init__(self, run_dir: ProbeDir, console: Console):
        if not run_dir.config.exists():
            raise RunDirError(f"{run_dir.path} holds no run: there is no {run_dir.config.name}")
        self.run_dir = run_dir
        self.console = console
        self.ranks = processes()
        if self.ranks.is_main_process:
            remove_litter(run_dir.path, recursive=True)
        config = saved_config(run_dir.config)
        # A server, if the run has one, holds the policy that trains.
        self.engine_config = config.engine.model_copy(update={"mode": "colocate"})
        self.tasks = probed_tasks(config)
        self.tokens = longest_completion(config)
        model = open_model(config.model, self.engine_config, self.ranks.device)
        self.tasks = [model.posed(task) for task in self.tasks]
        self.model = model.fit(self.tasks, self.tokens)
        self.base = self.opened(config.base_model, self.model.tokenizer)
        self.probes = Probe(
            instrument=Instrument(probe_config(config), self.model.tokenizer, self.tokens, console),
            tasks=self.tasks,
            run_dir=run_dir,
            base=self.base.path,
            open_base=self.base.build,
            save_every=config.save_every,
            begins_after=config.steps,
            copied=copied_problems(config, self.tasks),
            control=config.rewards.control,
        )
        quiet = MonitorConfig()
        mirrored = config if self.ranks.is_main_process else config.model_copy(update={"monitor": quiet})
        self.mirror = WandbThread(mirrored, run_dir, "probe")

    def opened(self, model: str | Path, tokenizer: Any = None) -> Sampler:
        sampler = open_model(model, self.engine_config, self.ranks.device, tokenizer)
        return sampler.fit(self.tasks, self.tokens)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *failure: object) -> None:
        self.mirror.close()
        if self.mirror.failure:
            self.console.print(self.mirror.failure, markup=False)

    def take_up(self) -> bool | Path | None:
        """Does one job: True. None where there is none; where it lies that failed.

        With several processes a failure ends them all: the others wait for the one that failed.
        """
        with self.claimed() as job:
            if job is None:
                return None
            try:
                self.probe(job)
            except Exception as error:
                if self.ranks.num_processes > 1:
                    raise
                place = set_aside(self.run_dir, job, traceback.format_exc())
                self.console.print(
                    f"{job.path.name} failed and lies in {place}, with {ERROR}: {error}", markup=False
                )
                return place
            return True

    def probe(self, job: Job) -> None:
        """Measures the job's policy and removes the job."""
        with ExitStack() as stack:
            policy = stack.enter_context(whole_policy(job.policy, self.model.path))
            engine = stack.enter_context(self.opened(policy, self.model.tokenizer).engine())
            self.measure(CheckpointEvent(job.step, job.samples, job.policy, engine, job.last))
        if self.ranks.is_main_process:
            remove(job)
        self.ranks.wait_for_everyone()

    def measure_base(self) -> None:
        """Measures the base as the policy of step 0; what is stored is not drawn again."""
        with self.base.engine() as engine:
            self.measure(CheckpointEvent(0, 0, self.base.path, engine, False))

    def measure(self, event: CheckpointEvent) -> None:
        """Measures one policy, records it, and shows the trackers what was found."""
        report = self.probes(event)
        if self.ranks.is_main_process and not report.is_empty:
            self.mirror.log({"step": event.step, "total/samples": event.samples}, report)

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
