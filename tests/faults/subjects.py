"""What is damaged: the parts of a real tiny run, and how a command reads each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evals.commands.store import sample_sets
from evals.records.gap_record import read_records
from evals.records.probe_dir import ProbeDir
from evals.records.reading import read_stored, read_texts
from evals.records.store import SampleSet
from evals.reports.compare.loading import read_run
from rlvr.core.checkpoint import Checkpoint, find_fault
from rlvr.core.hashes import tree_digests
from rlvr.core.records import read_jsonl, read_object
from rlvr.core.run_dir import step_folders
from rlvr.core.shards import Shards
from rlvr.models.cached import cached
from rlvr.models.tiny_base import embedded_base
from rlvr.planning.recipe import saved_config
from rlvr.runs.provenance import check_same_data
from rlvr.runs.resume import find_start

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = (
    "recipe=grpo_tiny", "model=embedded:countdown-untrained", "steps=4", "save_every=2", "run_dir=run",
    "rollouts.prompts=4", "rollouts.group_size=4", "rollouts.max_new_tokens=16", "probe.max_problems=4",
    "probe.n=4", "probe.base_n=4", "probe.final_n=4", "probe.k=4", "monitor.wandb=disabled",
)  # fmt: skip

# Runs the trainer with these arguments in this directory and environment; the exit status.
Start = Callable[[list[str], Path, dict[str, str]], int]


@dataclass(frozen=True)
class Subject:
    """One part of a run. read: what a command makes of it, to be compared. texts: whether its lines are
    damaged too. whole: whether it is read at once, whichever file is damaged."""

    name: str
    files: Sequence[Path]
    read: Callable[[Path], Any]
    texts: bool = False
    whole: bool = False


def parts(directory: Path, start: Start | None = None) -> list[Subject]:
    """Of a run of four steps with two checkpoints and three probes, its store and its base, which are made in
    the directory where they are not there."""
    if not (directory / "run").exists():
        _make_run(directory, start or _started)
    if not (directory / "pristine").exists():
        base = embedded_base("countdown-untrained")
        shutil.copytree(base, directory / "cache" / "base")
        cached(directory / "cache" / "base", lambda: None)
        shutil.copytree(base, directory / "pristine")
    return _subjects(directory)


def _make_run(directory: Path, start: Start) -> None:
    arguments = [str(ROOT / "rlvr" / "train.py"), *ARGUMENTS]
    environment = {**os.environ, "RLVR_STORE": str(directory / "store"), "RLVR_NO_PROGRESS": "1"}
    if start(arguments, directory, environment):
        raise SystemExit(f"the run in {directory} did not end well")


def _started(arguments: list[str], directory: Path, environment: dict[str, str]) -> int:
    path = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env=environment | {"PYTHONPATH": path},
        capture_output=True,
    )
    return done.returncode


def _subjects(directory: Path) -> list[Subject]:
    """Every part, with the files of it."""
    run, store = ProbeDir(directory / "run"), directory / "store"
    shards = {
        part: sorted(store.glob(f"*/{part}/**/*.parquet")) for part in ("samples", "verdicts", "soundness")
    }
    probes = sorted(run.probes.rglob("*.parquet"))
    checkpoints = [file for file in sorted(run.checkpoints.rglob("*")) if file.is_file()]
    manifests = [file for file in checkpoints if file.name == "manifest.json"]
    base = [*(directory / "cache" / "base").iterdir(), directory / "cache" / "base.hashes.json"]
    small = [run.config, run.card, run.finished, run.saved, run.metrics, run.probe]
    sums = sorted((run.path / ".sums").iterdir())
    config = saved_config(run.config)
    goes_on = config.model_copy(update={"steps": config.steps + 2})
    card = json.loads(run.card.read_text())

    def small_file(file: Path) -> Any:
        return (
            find_start(goes_on, run), find_start(config, run), check_same_data(run.card, card),
            read_object(run.card), read_jsonl(run.metrics, once=["step"]), read_records(run.probe),
            vars(read_run(run.path))["records"], saved_config(run.config).model_dump(),
        )  # fmt: skip

    def checkpoint(file: Path) -> Any:
        """A run that goes on passes a damaged one over; one of an earlier step it looks at later."""
        (own,) = (c for c in step_folders(run.checkpoints).items() if c[1] in file.parents)
        start = find_start(goes_on, run)
        if fault := find_fault(Checkpoint(*own), start.run):
            warnings.warn(fault, stacklevel=2)
        hashes = tree_digests(own[1])
        return start, {name: digest for name, digest in hashes.items() if name != "manifest.json"}

    return [
        *[Subject(part, files, _stored(store, part)) for part, files in shards.items()],
        Subject("probe files", probes, _probed(store)),
        Subject("checkpoints", checkpoints, checkpoint),
        Subject("manifests", manifests, checkpoint, texts=True),
        Subject("base cache", sorted(base), lambda _: _base(directory), whole=True),
        Subject("small files", small, small_file, texts=True, whole=True),
        Subject("checksums", sums, small_file, texts=True, whole=True),
        Subject(
            "keys of sets", sorted(store.glob("*/key.json")), lambda _: _sets(store), texts=True, whole=True
        ),
    ]


def _stored(store: Path, part: str) -> Callable[[Path], Any]:
    """The table that a shard belongs to, with all its columns."""

    def read(shard: Path) -> Any:
        (own,) = (s for s in map(_set_of, store.glob("*/key.json")) if s.directory in shard.parents)
        table = own.shards if part == "samples" else _graded(own, part, shard.parent)
        return table.read([name for name in table.schema.names if name not in table.key]).to_pydict()

    return read


def _set_of(key: Path) -> SampleSet:
    return next(s for s in sample_sets(key.parent.parent) if s.directory == key.parent)


def _graded(own: SampleSet, part: str, directory: Path) -> Shards:
    table = getattr(own, part)("any version")
    return Shards(directory, table.schema, table.key, table.allowed)


def _probed(store: Path) -> Callable[[Path], Any]:
    """What the files and the samples that they refer to say."""

    def read(file: Path) -> Any:
        os.environ["RLVR_STORE"] = str(store)
        stored = read_stored(file)
        texts = read_texts(file, stored.problems) if stored.answers else None
        measured = replace(stored.measured, counts=None, sound=None)  # type: ignore[arg-type]
        counts, sound = stored.counts, stored.sound
        numbers = (counts.n.tolist(), counts.correct.tolist(), counts.stop_r, counts.n_max)
        if sound is not None:
            numbers = (*numbers, sound.sound.correct.tolist(), sound.undecided.tolist())
        return (*numbers, measured, stored.answers, texts)

    return read


def _base(directory: Path) -> Any:
    """Rebuilding is a copy of what was built once."""
    base = directory / "cache" / "base"
    return tree_digests(cached(base, lambda: shutil.copytree(directory / "pristine", base) and None))


def _sets(store: Path) -> Any:
    return [(s.key, s.directory) for s in sample_sets(store)]
