"""The probe: after every checkpoint, how much of the base's pass@K does the policy's pass@1 reach?"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from accelerate.utils import broadcast_object_list

from evals.probe.watch import decide
from evals.records.gap_record import GapRecord, about_sampling, compare, read_records
from evals.records.measurement import Measurement
from evals.records.probe_dir import ProbeDir
from evals.reports.dashboards import dashboard_report
from evals.reports.gap_table import probe_table
from evals.reports.unread import unread_measurement
from evals.sampling.draws import Draws
from evals.sampling.instrument import Instrument, MeasuredSamples, Subject
from evals.sampling.settings import ProbeConfig
from rlvr.core.checkpoint import config_hash, keep_policy, weight_hash
from rlvr.core.records import read_object
from rlvr.core.run_dir import append_jsonl, keep_jsonl, step_folder
from rlvr.engines import Engine
from rlvr.engines.lazy import LazyEngine
from rlvr.engines.sampler import called
from rlvr.hooks import CheckpointEvent, HookReport
from rlvr.learning.accelerator import processes
from rlvr.tasks import Task


class Probe:
    """A checkpoint hook. Measures every task, appends to probe.jsonl, prints a table.

    base: the directory of the model that policies are compared with. open_base: an engine that holds it,
    used only where its samples are missing from the store and the live engine holds other weights.
    save_every: training steps between checkpoints, to count `probe.every`. begins_after: the step that the
    run resumes from; the best policy of a later one is forgotten. identify: the hash of a policy's weights.
    copied: by task, the ids of problems that are copies of training problems, where that is known.
    control: what rewards went by in the verdict's place, if anything.
    """

    def __init__(
        self,
        instrument: Instrument,
        tasks: Sequence[Task],
        run_dir: ProbeDir,
        base: Path,
        open_base: Callable[[], Engine],
        save_every: int,
        begins_after: int = 0,
        identify: Callable[[Path], str] = weight_hash,
        copied: Mapping[str, Collection[str]] | None = None,
        control: str | None = None,
    ):
        self.instrument = instrument
        self.config: ProbeConfig = instrument.config
        self.tasks = tasks
        self.run_dir = run_dir
        self.base = base
        self.open_base = open_base
        self.base_hash = weight_hash(base)
        self.identify = identify
        self.save_every = save_every
        self.copied = copied or {}
        self.control = control
        self.console = instrument.console
        self.ranks = processes()
        self._bases: dict[str, MeasuredSamples | None] = {}  # by task, what this process has read of the base
        if self.ranks.is_main_process:
            forget_best(run_dir, begins_after)

    def __call__(self, event: CheckpointEvent) -> HookReport:
        if not is_due(self.config, self.save_every, event):
            return HookReport()
        self.ranks.wait_for_everyone()
        policy_hash = broadcast_object_list([self._hash(event.policy)])[0]
        for task in self.tasks:
            if not self._is_known(event, task, policy_hash):
                self._measure(task, event, policy_hash)
        self.ranks.wait_for_everyone()
        records = self.records()
        stop = self._watched(event, records)
        if not self.ranks.is_main_process:
            return HookReport(stop=stop)
        self.console.print(probe_table(records, event.step))
        now = [r for r in records if r.step == event.step]
        return replace(dashboard_report(now, self.tasks, self.run_dir), stop=stop)

    def _hash(self, policy: Path) -> str | None:
        """On the main process, which wrote it."""
        return self.identify(policy) if self.ranks.is_main_process else None

    def records(self) -> list[GapRecord]:
        """Everything measured so far in this run."""
        return read_records(self.run_dir.probe)

    def _is_known(self, event: CheckpointEvent, task: Task, policy_hash: str) -> bool:
        """Whether the main process has the record already, with as many samples."""
        c, (n, stop_r) = self.config, self._samples_of(event, policy_hash)
        plan = self.instrument.plan(task, n)
        wanted = {
            "step": event.step, "task": task.name, "policy_hash": policy_hash, "n": n, "stop_r": stop_r,
            "base_hash": self.base_hash, "base_n": c.base_n, "base_stop_r": c.base_stop_r, "gap_k": c.k,
            "template": task.template, "grader": task.grader, "soundness": task.soundness,
            "sampling": about_sampling(plan.conditions), "data": plan.conditions.data,
            "environment": plan.conditions.environment,
        }  # fmt: skip
        known = any(wanted.items() <= row.items() for row in map(asdict, self.records()))
        return bool(broadcast_object_list([known])[0])

    def _samples_of(self, event: CheckpointEvent, policy_hash: str) -> tuple[int, int | None]:
        """n and stop_r of a policy's measurement; the base's own are the same wherever it is met."""
        if policy_hash == self.base_hash:
            return self.config.base_n, self.config.base_stop_r
        return (self.config.final_n if event.last else self.config.n), self.config.stop_r

    def _measure(self, task: Task, event: CheckpointEvent, policy_hash: str) -> None:
        """All processes draw and grade, the main process records."""
        engine = event.engine
        draws = Draws(self.run_dir.probes, event.step, task.name, self.ranks.process_index)
        plan = self.instrument.plan(task, *self._samples_of(event, policy_hash))
        name = f"{self.run_dir.path.name}/{step_folder(event.step)}"
        if policy_hash == self.base_hash:
            name = called(self.base)
        subject = Subject(policy_hash, config_hash(event.policy), engine, name)
        policy = self.instrument.measure(plan, subject, f"probe {task.name}", draws)
        self._tell(f"probe {task.name}", task, policy)
        if policy_hash == self.base_hash:
            self._bases[task.name] = policy
        if task.name not in self._bases:
            self._bases[task.name] = self._measure_base(task, engine, draws)
        base = self._bases[task.name]
        if policy is None or base is None:
            return
        base.measurement.write(self.run_dir.base, base.samples)
        policy.measurement.write(self.run_dir.of_step(event.step), policy.samples)
        drawn = draws.total({base.samples.directory.name, policy.samples.directory.name})
        record = compare(base.measurement, policy.measurement, self.config.k, event.step, drawn)
        contaminated = self._contaminated(policy.measurement)
        self._record(replace(record, contaminated=contaminated, control=self.control))

    def _tell(self, title: str, task: Task, measured: MeasuredSamples | None) -> None:
        """What the store had of a measurement, and where most of its samples have no verdict."""
        if measured is None:
            return
        if measured.reused:
            self.console.print(f"{title}: {measured.reused:,} samples reused from the store")
        if unread := unread_measurement(task, measured.measurement, measured.samples):
            self.console.print(unread, style="yellow")

    def _contaminated(self, measured: Measurement) -> int | None:
        """How many of the problems are copies of training problems; None where that is not known."""
        ids = self.copied.get(measured.conditions.task)
        return None if ids is None else sum(problem.id in ids for problem in measured.problems)

    def _measure_base(self, task: Task, engine: Engine, draws: Draws) -> MeasuredSamples | None:
        plan = self.instrument.plan(task, self.config.base_n, self.config.base_stop_r)
        with LazyEngine(engine.name, engine.dtype, self.open_base) as lazy:
            subject = Subject(self.base_hash, config_hash(self.base), lazy, called(self.base))
            measured = self.instrument.measure(plan, subject, f"base {task.name}", draws)
        self._tell(f"base {task.name}", task, measured)
        return measured

    def _record(self, record: GapRecord) -> None:
        """Adds a row, in the place of one that is there of the same step and task."""
        place = (record.step, record.task)
        with self.run_dir.writing_records():
            keep_jsonl(self.run_dir.probe, lambda row: (row["step"], row["task"]) != place, "step", "task")
            append_jsonl(self.run_dir.probe, record.row())

    def _watched(self, event: CheckpointEvent, records: Sequence[GapRecord]) -> str | None:
        """Keeps the best policy; why training should end, as the main process decides."""
        watch = self.config.watch
        if not (watch.keep_best or watch.stops):
            return None
        own = [r for r in records if r.task == self.tasks[0].name]
        decision = decide(sorted(own, key=lambda r: r.step), watch)
        best = decision.best
        is_new = best is not None and best.step == event.step
        if watch.keep_best and best is not None and is_new and self.ranks.is_main_process:
            about = {"step": best.step, "task": best.task, watch.by: getattr(best, watch.by)}
            keep_policy(event.policy, self.run_dir.best, about)
        return broadcast_object_list([decision.stop])[0]


def forget_best(run_dir: ProbeDir, begins_after: int) -> None:
    """Removes the best policy where it is of a step that is going to be trained again."""
    about = run_dir.best / "about.json"
    if about.exists() and read_object(about, "step")["step"] > begins_after:
        shutil.rmtree(run_dir.best)


def is_due(config: ProbeConfig, save_every: int, event: CheckpointEvent) -> bool:
    """Whether `probe.every` counts this checkpoint; the last one always counts."""
    return event.last or event.step // save_every % config.every == 0
