"""Whether a run directory is new, resumed or finished; decided before any model is loaded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rlvr.config.keys import covers, flattened
from rlvr.config.schema import Config
from rlvr.core.checkpoint import Checkpoint, newest_valid
from rlvr.core.replacing import remove_litter
from rlvr.core.run_dir import RunDir, RunDirError, keep_jsonl, read_jsonl, write_json
from rlvr.hooks.loading import factories
from rlvr.planning.upgrades import upgraded

# Keys that may differ between the parts of one run: they do not change what a step computes. `steps` does
# where the learning rate falls over them.
FREE = (
    "run_dir",
    "resume",
    "steps",
    "keep_last",
    "monitor",
    "plan",
    "algorithm.max_draws",
    "algorithm.at_bound",
    "rewards.bad",
    "rewards.deadline",
    "engine.url",
    "engine.nccl_port",
    "engine.transfer",
    "engine.timeout",
    "engine.generation_timeout",
    "engine.memory_share",
)


@dataclass(frozen=True)
class Start:
    """Where a run begins. checkpoint: None at the very beginning. passed_over: newer ones not used, and why.

    finished: every step is trained, and every hook was called.
    """

    checkpoint: Checkpoint | None
    passed_over: tuple[str, ...]
    finished: bool


def find_start(config: Config, run_dir: RunDir) -> Start:
    """Compares with the configuration on disk and picks the checkpoint. Raises RunDirError if they differ;
    where nothing was trained or probed yet, the new one is taken."""
    begun = run_dir.checkpoints.exists() or any(map(read_jsonl, _records(config, run_dir)))
    if not run_dir.config.exists() or not begun:
        return Start(None, (), False)
    before = upgraded(json.loads(run_dir.config.read_text()))
    before = _in_full(before, config)
    now = config.model_dump(mode="json")
    free = [key for key in FREE if key != "steps" or config.optim.schedule == "constant"]
    differing = _differences(_comparable(before, free), _comparable(now, free))
    if differing:
        lines = "\n".join(f"  {key}: {old!r} there, {new!r} now" for key, (old, new) in differing.items())
        raise RunDirError(
            f"{run_dir.path} holds a run with another configuration:\n{lines}\n"
            "Give these keys as they were to go on with it, or another run_dir for a new run."
        )
    checkpoint, passed_over = newest_valid(run_dir.checkpoints)
    if checkpoint is not None and checkpoint.step > config.steps:
        raise RunDirError(f"{run_dir.path} has {checkpoint.step} steps, more than steps={config.steps}")
    return Start(checkpoint, tuple(passed_over), _finished(config, run_dir))


def prepare(config: Config, run_dir: RunDir, start: Start) -> None:
    """Writes config.json and cuts the records back to where the run begins."""
    step = start.checkpoint.step if start.checkpoint else 0
    remove_litter(run_dir.path, recursive=True)
    run_dir.finished.unlink(missing_ok=True)
    write_json(run_dir.config, config.model_dump(mode="json"))
    with run_dir.writing_records():
        for records in _records(config, run_dir):
            keep_jsonl(records, lambda row: row["step"] <= step)


def _records(config: Config, run_dir: RunDir) -> list[Path]:
    """The files of the run whose rows carry a step: the metrics, and what hooks record."""
    own = [name for factory in factories(config.hooks) for name in factory.records]
    return [run_dir.metrics, *(run_dir.path / name for name in own)]


def mark_finished(config: Config, run_dir: RunDir) -> None:
    """Notes that every step is trained and every hook was called."""
    write_json(run_dir.finished, {"steps": config.steps})


def _finished(config: Config, run_dir: RunDir) -> bool:
    if not run_dir.finished.exists():
        return False
    return json.loads(run_dir.finished.read_text())["steps"] == config.steps


def _in_full(saved: dict[str, Any], config: Config) -> dict[str, Any]:
    """A saved configuration with the defaults of keys that there have been since."""
    try:
        return type(config).model_validate(saved).model_dump(mode="json")
    except ValidationError:
        return saved


def _comparable(config: dict[str, Any], free: Sequence[str]) -> dict[str, Any]:
    """Dotted keys -> values, without those that may differ."""
    return {key: value for key, value in flattened(config).items() if not covers(free, key)}


def _differences(old: dict[str, Any], new: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    keys = sorted(old.keys() | new.keys())
    return {k: (old.get(k), new.get(k)) for k in keys if old.get(k) != new.get(k)}
