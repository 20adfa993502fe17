"""The probe: after every checkpoint, how much of the base's pass@K does the policy's pass@1 reach?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from evals.probe.watch import decide
from evals.records.files import BASE_FOLDER
from evals.records.gap_record import GapRecord, compare
from evals.reports.dashboards import dashboard_report
from evals.reports.gap_table import probe_table
from evals.sampling.instrument import Instrument, LazyEngine, Reading, Subject
from rlvr.config.schema import ProbeConfig
from rlvr.core.checkpoint import config_hash, keep_policy, weight_hash
from rlvr.core.run_dir import RunDir, append_jsonl, keep_jsonl, read_jsonl
from rlvr.engines import Engine
from rlvr.hooks import Moment, Report
from rlvr.tasks import Task


@dataclass(frozen=True)
class Base:
    """The model that policies are held against. engine: builds an engine that holds it, used only where
    its samples are missing from the store and the live engine holds other weights."""

    path: Path
    engine: Callable[[], Engine]


class Probe:
    """A checkpoint hook. Measures every task, appends to probe.jsonl, prints a table.

    save_every: training steps between checkpoints, to count `probe.every`.
    """

    def __init__(
        self,
        instrument: Instrument,
        tasks: Sequence[Task],
        run_dir: RunDir,
        base: Base,
        save_every: int,
    ):
        self.instrument = instrument
        self.config: ProbeConfig = instrument.config
        self.tasks = tasks
        self.run_dir = run_dir
        self.base = base
        self.base_hash = weight_hash(base.path)
        self.save_every = save_every
        self.console = instrument.console
        self.ranks = PartialState()
        self._bases: dict[str, Reading | None] = {}  # by task, what this process has read of the base

    def __call__(self, moment: Moment) -> Report:
        if not is_due(self.config, self.save_every, moment):
            return Report()
        self.ranks.wait_for_everyone()
        policy_hash = broadcast_object_list([self._hash(moment.policy)])[0]
        for task in self.tasks:
            if not self._is_known(moment, task, policy_hash):
                self._measure(task, moment, policy_hash)
        self.ranks.wait_for_everyone()
        records = self.records()
        stop = self._watched(moment, records)
        if not self.ranks.is_main_process:
            return Report(stop=stop)
        self.console.print(probe_table(records, moment.step))
        now = [r for r in records if r.step == moment.step]
        return replace(dashboard_report(now, self.tasks, self.run_dir), stop=stop)

    def _hash(self, policy: Path) -> str | None:
        """On the main process, which wrote it."""
        return weight_hash(policy) if self.ranks.is_main_process else None

    def records(self) -> list[GapRecord]:
        """Everything measured so far in this run."""
        return [GapRecord(**row) for row in read_jsonl(self.run_dir.probe)]

    def _is_known(self, moment: Moment, task: Task, policy_hash: str) -> bool:
        """Whether the main process has the record already, with as many samples."""
        c, (n, stop_r) = self.config, self._samples_of(moment, policy_hash)
        wanted = {
            "step": moment.step, "task": task.name, "policy_hash": policy_hash, "n": n, "stop_r": stop_r,
            "base_hash": self.base_hash, "base_n": c.base_n, "base_stop_r": c.base_stop_r, "gap_k": c.k,
            "template": task.template, "grader": task.grader, "sampling": asdict(self.instrument.sampling),
            "data": self.instrument.plan(task, n).conditions.data,
        }  # fmt: skip
        known = any(wanted.items() <= row.items() for row in map(asdict, self.records()))
        return bool(broadcast_object_list([known])[0])

    def _samples_of(self, moment: Moment, policy_hash: str) -> tuple[int, int | None]:
        """n and stop_r of a policy's measurement; the base's own are the same wherever it is met."""
        if policy_hash == self.base_hash:
            return self.config.base_n, self.config.base_stop_r
        return (self.config.final_n if moment.last else self.config.n), self.config.stop_r

    def _measure(self, task: Task, moment: Moment, policy_hash: str) -> None:
        """All processes draw and grade, the main process records."""
        engine = moment.engine
        plan = self.instrument.plan(task, *self._samples_of(moment, policy_hash))
        policy = self.instrument.measure(
            plan, Subject(policy_hash, config_hash(moment.policy), engine), f"probe {task.name}"
        )
        drawn = policy.drawn if policy else 0
        if policy_hash == self.base_hash:
            self._bases[task.name] = policy
        if task.name not in self._bases:
            self._bases[task.name] = base = self._measure_base(task, engine)
            drawn += base.drawn if base else 0
        base = self._bases[task.name]
        if policy is None or base is None:
            return
        base.measurement.write(self.run_dir.probes / BASE_FOLDER, base.samples)
        policy.measurement.write(self.run_dir.probes / f"step_{moment.step:06d}", policy.samples)
        self._record(compare(base.measurement, policy.measurement, self.config.k, moment.step, drawn))

    def _measure_base(self, task: Task, engine: Engine) -> Reading | None:
        plan = self.instrument.plan(task, self.config.base_n, self.config.base_stop_r)
        with LazyEngine(engine.name, engine.dtype, self.base.engine) as lazy:
            subject = Subject(self.base_hash, config_hash(self.base.path), lazy)
            return self.instrument.measure(plan, subject, f"base {task.name}")

    def _record(self, record: GapRecord) -> None:
        """Adds a row, in the place of one that is there of the same step and task."""
        place = (record.step, record.task)
        with self.run_dir.writing_records():
            keep_jsonl(self.run_dir.probe, lambda row: (row["step"], row["task"]) != place)
            append_jsonl(self.run_dir.probe, record.row())

    def _watched(self, moment: Moment, records: Sequence[GapRecord]) -> str | None:
        """Keeps the best policy; why training should end, as the main process decides."""
        watch = self.config.watch
        if not (watch.keep_best or watch.stops):
            return None
        own = [r for r in records if r.task == self.tasks[0].name]
        decision = decide(sorted(own, key=lambda r: r.step), watch)
        best = decision.best
        is_new = best is not None and best.step == moment.step
        if watch.keep_best and best is not None and is_new and self.ranks.is_main_process:
            about = {"step": best.step, "task": best.task, watch.by: getattr(best, watch.by)}
            keep_policy(moment.policy, self.run_dir.best, about)
        return broadcast_object_list([decision.stop])[0]


def is_due(config: ProbeConfig, save_every: int, moment: Moment) -> bool:
    """Whether `probe.every` counts this checkpoint; the last one always counts."""
    return moment.last or moment.step // save_every % config.every == 0
