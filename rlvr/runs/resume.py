"""Whether a run directory is new, resumed or finished; decided before any model is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rlvr.config.keys import covers, flattened
from rlvr.config.schema import Config
from rlvr.core.checkpoint import Checkpoint, newest_valid, owner
from rlvr.core.records import read_jsonl, read_object
from rlvr.core.replacing import remove_litter
from rlvr.core.run_dir import RunDir, RunDirError, free_name, keep_jsonl, step_folders, write_record
from rlvr.core.shards import short_hash
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

BEGIN_ANEW = "or give resume=anew, which puts all of it aside and begins at step 0"
CARD_REMEDY = "restore it, or remove it to go on without holding data and weights against what they were"
# Where that lies in the run directory.
ASIDE = "set-aside"


@dataclass(frozen=True)
class Start:
    """Where a run begins. checkpoint: None at the very beginning. passed_over: newer ones not used, and why.

    finished: every step is trained, and every hook was called. run: the id that its checkpoints carry.
    """

    checkpoint: Checkpoint | None
    passed_over: tuple[str, ...]
    finished: bool
    run: str = ""


def find_start(config: Config, run_dir: RunDir) -> Start:
    """Compares with the configuration on disk and picks the checkpoint; where nothing was trained or probed
    yet, the new configuration is taken.

    Raises RunDirError where they differ, and where there are traces of training and nothing to go on from;
    RecordError for a damaged file.
    """
    now = config.model_dump(mode="json")
    new = Start(None, (), False, short_hash(_comparable(now, FREE)))
    if config.resume == "anew":
        return new
    rows = {file: read_jsonl(file, "step", once=once) for file, once in _records(config, run_dir).items()}
    begun = run_dir.checkpoints.exists() or any(rows.values())
    if not run_dir.config.exists():
        if begun or run_dir.saved.exists():
            raise RunDirError(
                f"{run_dir.path} holds {_traces(run_dir, rows)} and no {run_dir.config.name}, so that nobody "
                f"can tell what run this is. Nothing was changed. Restore {run_dir.config.name}, {BEGIN_ANEW}"
            )
        return new
    if not begun and not run_dir.saved.exists():
        return new
    before = _in_full(upgraded(read_object(run_dir.config, remedy=f"restore it, {BEGIN_ANEW}")), config)
    _check_same(config, run_dir, before, now)
    known = _known_id(run_dir)
    checkpoint, passed_over = newest_valid(run_dir.checkpoints, known)
    if checkpoint is not None and checkpoint.step > config.steps:
        raise RunDirError(f"{run_dir.path} has {checkpoint.step} steps, more than steps={config.steps}")
    finished = _finished(config, run_dir)
    if checkpoint is None and not finished and _was_saved(run_dir, rows, before):
        why = "; ".join(passed_over) or f"there is none in {run_dir.checkpoints}"
        raise RunDirError(
            f"{run_dir.path} holds {_traces(run_dir, rows)} and no checkpoint to go on from: {why}. Nothing "
            f"was changed. Restore a checkpoint, {BEGIN_ANEW}"
        )
    run = known or (owner(checkpoint) if checkpoint else "") or new.run
    return Start(checkpoint, tuple(passed_over), finished, run)


def _check_same(config: Config, run_dir: RunDir, before: dict[str, Any], now: dict[str, Any]) -> None:
    free = [key for key in FREE if key != "steps" or config.optim.schedule == "constant"]
    if differing := _differences(_comparable(before, free), _comparable(now, free)):
        lines = "\n".join(f"  {key}: {old!r} there, {new!r} now" for key, (old, new) in differing.items())
        raise RunDirError(
            f"{run_dir.path} holds a run with another configuration:\n{lines}\n"
            "Give these keys as they were to go on with it, or another run_dir for a new run."
        )


def _known_id(run_dir: RunDir) -> str:
    """As the card has it; empty where there is no card, or one of an older version."""
    if not run_dir.card.exists():
        return ""
    return str(read_object(run_dir.card, remedy=CARD_REMEDY).get("run", ""))


def _was_saved(run_dir: RunDir, rows: Mapping[Path, list[dict[str, Any]]], before: dict[str, Any]) -> bool:
    """Whether a checkpoint was ever there, so that its absence is a loss and not an early end.

    The first is written after step `save_every`, and hooks are called after it.
    """
    first = before.get("save_every", 0)
    trained = max((row["step"] for row in rows[run_dir.metrics]), default=0)
    hooked = any(row["step"] > 0 for file, own in rows.items() if file != run_dir.metrics for row in own)
    return run_dir.saved.exists() or bool(step_folders(run_dir.checkpoints)) or trained > first or hooked


def _traces(run_dir: RunDir, rows: Mapping[Path, list[dict[str, Any]]]) -> str:
    kept = len(step_folders(run_dir.checkpoints))
    found = [f"{kept} checkpoint(s)"] if kept else []
    found += [f"{len(own)} row(s) of {file.name}" for file, own in rows.items() if own]
    return ", ".join(found) or "traces of training"


def prepare(config: Config, run_dir: RunDir, start: Start) -> None:
    """Writes config.json and cuts the records back to where the run begins, or puts all aside."""
    step = start.checkpoint.step if start.checkpoint else 0
    if config.resume == "anew":
        put_aside(run_dir)
    remove_litter(run_dir.path, recursive=True)
    run_dir.finished.unlink(missing_ok=True)
    write_record(run_dir.config, config.model_dump(mode="json"))
    with run_dir.writing_records():
        for file, once in _records(config, run_dir).items():
            keep_jsonl(file, lambda row: row["step"] <= step, "step", once=once)


def put_aside(run_dir: RunDir) -> Path | None:
    """Moves what a run directory holds into set-aside/, or set-aside-2/ and so on; None where it is empty."""
    kept = [p for p in run_dir.path.iterdir() if not (p.name.endswith("lock") or p.name.startswith(ASIDE))]
    if not kept:
        return None
    aside = free_name(run_dir.path / ASIDE)
    aside.mkdir()
    for path in kept:
        path.rename(aside / path.name)
    return aside


def _records(config: Config, run_dir: RunDir) -> dict[Path, tuple[str, ...]]:
    """The files of the run whose rows carry a step, the metrics and what hooks record, and the keys that tell
    rows apart where they are known."""
    hooks = factories(config.hooks)
    own = {run_dir.path / name: factory.record_keys for factory in hooks for name in factory.records}
    return {run_dir.metrics: ("step",), **own}


def mark_finished(config: Config, run_dir: RunDir) -> None:
    """Notes that every step is trained and every hook was called."""
    write_record(run_dir.finished, {"steps": config.steps})


def _finished(config: Config, run_dir: RunDir) -> bool:
    if not run_dir.finished.exists():
        return False
    remedy = "remove it: the run then goes on from its last checkpoint"
    return bool(read_object(run_dir.finished, "steps", remedy=remedy)["steps"] == config.steps)


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
