"""Probing the checkpoints of any trainer as they appear, beside it: what `python -m evals watch` does.

Each whole checkpoint becomes a job, by hard links, so that the trainer may remove it; jobs are done one by
one by the worker of detached runs. The output is a run directory that the other commands read.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from evals.probe.detached import Worked, Worker
from evals.probe.jobs import add, failed
from evals.probe.layouts import Found, checkpoints
from evals.probe.plugin import probed_task
from evals.records.gap_record import read_records
from evals.records.probe_dir import ProbeDir
from evals.sampling.settings import ProbeConfig, probe_config
from rlvr.config.schema import Config, EngineConfig, MonitorConfig
from rlvr.core.checkpoint import CheckpointError, weight_hash
from rlvr.core.errors import UserError
from rlvr.core.run_dir import write_record
from rlvr.engines.sampler import open_model
from rlvr.hooks.loading import config_model
from rlvr.learning.accelerator import processes
from rlvr.planning.recipe import saved_config
from rlvr.runs.provenance import run_card

# Seconds between looks for a new checkpoint.
LOOK_EVERY = 5.0
TRAINER = "another trainer"


class WatchError(UserError):
    """The output directory cannot be used for this; the message says why."""

    status = 2


class Watch:
    """Looks for checkpoints below `directory`, and makes jobs of whole ones in `run_dir`.

    settle: seconds for which no file of a checkpoint has changed before it is taken.
    """

    def __init__(self, directory: Path, run_dir: ProbeDir, settle: float, console: Console):
        self.directory = directory
        self.run_dir = run_dir
        self.settle = settle
        self.console = console
        self.measured: Mapping[int, set[str]] = {}
        self.last = 0  # the latest step that was taken
        self._taken: dict[Path, float] = {}
        self._told: dict[Path, str] = {}
        self._seen: dict[Path, tuple[float, float]] = {}  # when it last changed, and since when that is so

    def look(self) -> list[Found]:
        """Takes what is whole; returns what is not yet, or is too new to say."""
        waiting = []
        for found in checkpoints(self.directory, self.run_dir.path):
            if self._taken.get(found.path) == found.changed:
                continue
            if found.lacks or not self._is_settled(found):
                waiting.append(found)
            else:
                self._take(found)
                self._taken[found.path] = found.changed
                self.last = max(self.last, found.step)
        return waiting

    def _is_settled(self, found: Found) -> bool:
        """By its files' times, or by how long this process saw no change: clocks are set back."""
        now = time.monotonic()
        changed, since = self._seen.get(found.path, (0.0, now))
        if changed != found.changed:
            since = now
            self._seen[found.path] = (found.changed, now)
        return max(now - since, time.time() - found.changed) >= self.settle

    def tell(self, waiting: Sequence[Found]) -> None:
        """Says once of each what it lacks."""
        for found in waiting:
            if found.lacks and self._told.get(found.path) != found.lacks:
                self._told[found.path] = found.lacks
                advice = ""
                if found.trainer == "verl" and found.lacks == "model.safetensors":
                    advice = " (verl writes it with hf_model in actor.checkpoint.save_contents)"
                self._say(f"{found.path} is not whole, it lacks {found.lacks}{advice}")

    def _take(self, found: Found) -> None:
        try:
            known = weight_hash(found.path)
            if known in self.measured.get(found.step, set()) or self._has_failed(found.step, known):
                return
            add(self.run_dir, found.path, found.step)
            self._say(f"found step {found.step} of {found.trainer}: {found.path}")
        except (OSError, CheckpointError) as error:  # the trainer has removed it meanwhile
            self._say(f"{found.path} is gone, or cannot be read: {error}")

    def _has_failed(self, step: int, known: str) -> bool:
        return any(path.name.startswith(f"step_{step:06d}-{known[:8]}") for path in failed(self.run_dir))

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def watch(
    directory: Path,
    config: Config,
    once: bool,
    last: int | None,
    settle: float,
    idle: float | None,
    console: Console,
) -> Worked:
    """Probes checkpoints as they come. once: ends when all that are there are done.

    last: the step after which no more is waited for. idle: seconds without a new one after which it ends.
    Raises WatchError, and whatever opening the base raises.
    """
    run_dir = ProbeDir(config.run_dir)
    done, aside = 0, list[Path]()
    with Worker(run_dir, console) as worker:
        worker.measure_base()
        scan = Watch(directory, run_dir, settle, console)
        scan.measured = _measured(run_dir, len(worker.tasks))
        active = time.monotonic()
        while True:
            waiting = scan.look() if worker.ranks.is_main_process else []
            found = worker.take_up()
            if isinstance(found, Path):
                aside.append(found)
            elif found:
                done += 1
            if found is not None:
                active = time.monotonic()
                _set_steps(run_dir, scan.last)
                continue
            scan.tell(waiting)
            ended = last is not None and scan.last >= last
            settling = any(not one.lacks for one in waiting)
            quiet = idle is not None and time.monotonic() - active >= idle
            if worker.agreed((once and not settling) or ended or quiet):
                if ended and worker.ranks.is_main_process:
                    write_record(run_dir.finished, {"steps": scan.last})
                return Worked(done, tuple(aside))
            time.sleep(min(LOOK_EVERY, settle) if once else LOOK_EVERY)


def _measured(run_dir: ProbeDir, tasks: int) -> dict[int, set[str]]:
    """By step, hashes of policies that were measured on all tasks."""
    seen: dict[tuple[int, str], set[str]] = {}
    for record in read_records(run_dir.probe) if run_dir.probe.exists() else []:
        seen.setdefault((record.step, record.policy_hash), set()).add(record.task)
    found: dict[int, set[str]] = {}
    for (step, policy), own in seen.items():
        if len(own) == tasks:
            found.setdefault(step, set()).add(policy)
    return found


def prepare(
    base: str,
    tasks: Sequence[Mapping[str, Any]],
    out: Path,
    engine: EngineConfig,
    monitor: MonitorConfig,
    probe: ProbeConfig,
) -> Config:
    """Makes `out` a run directory of another trainer's run, or checks that it is the same one.

    tasks: completed choices. Raises WatchError, ModelError or TaskError.
    """
    run_dir = ProbeDir(out)
    data: dict[str, Any] = {
        "recipe": TRAINER,
        "model": base,
        "run_dir": str(out),
        "steps": 1,
        "save_every": 1,
        "task": {"name": f"{TRAINER}'s data"},
        "algorithm": {"name": TRAINER},
        "engine": engine.model_dump(),
        "monitor": monitor.model_dump(),
        "probe": {**probe.model_dump(), "tasks": [dict(task) for task in tasks], "every": 1},
    }
    config = config_model().model_validate(data)
    model = open_model(base, engine, processes().device)
    built = [model.posed(probed_task(choice)) for choice in probe_config(config).tasks]
    if probe.max_new_tokens is None:
        data["probe"] |= {"max_new_tokens": model.room(built)}
        config = config_model().model_validate(data)
    if run_dir.config.exists():
        there = saved_config(run_dir.config)
        if there.recipe != TRAINER:
            raise WatchError(f"{out} holds a run of its own: give another out")
        if (there.model, probe_config(there)) != (config.model, probe_config(config)):
            raise WatchError(
                f"{out} holds measurements of another base, or under other settings: give another out"
            )
        config = config.model_copy(update={"steps": there.steps})
    if processes().is_main_process:
        out.mkdir(parents=True, exist_ok=True)
        run_dir.finished.unlink(missing_ok=True)
        write_record(run_dir.config, config.model_dump(mode="json"))
        write_record(run_dir.card, run_card(config, {"model": model, "base": model}, {"probe": built}))
    processes().wait_for_everyone()
    return config


def _set_steps(run_dir: ProbeDir, step: int) -> None:
    """The run is as long as is known of it."""
    config = saved_config(run_dir.config)
    if processes().is_main_process and step > config.steps:
        longer = config.model_copy(update={"steps": step})
        write_record(run_dir.config, longer.model_dump(mode="json"))
