"""Stored samples looked at again: what a checker says of the reasoning in them, without a model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evals.estimators.counts import Counts
from evals.estimators.soundness import SoundCounts
from evals.records.conditions import Conditions
from evals.records.files import METADATA, FileError, Origin, read_about, read_soundness
from evals.records.gap_record import read_record
from evals.records.parquet import read_parquet, write_parquet
from evals.records.probe_dir import ProbeDir
from evals.records.samples import SAMPLES_SUFFIX, sample_blocks
from evals.records.sound_record import sound_record
from rlvr.config.registry import PluginError
from rlvr.core.run_dir import read_jsonl, write_jsonl
from rlvr.graders import Status
from rlvr.graders.soundness import Chain, Checker, checked
from rlvr.tasks import build_checker_of


@dataclass(frozen=True)
class Looked:
    """One samples file with what a checker said. problems: in the order of the counts. sound: [R], one a row
    of the file. graded: samples that were checked now, since the file did not say."""

    path: Path
    conditions: Conditions | None
    origin: Origin | None
    problems: tuple[str, ...]
    counts: SoundCounts
    checker: str
    sound: pa.Array
    graded: int


def look(path: Path, checker: Checker | None = None) -> Looked:
    """Reads <task>.samples.parquet with the counts beside it. checker: by default the task's own.

    Samples that this checker has looked at before are not checked again. Raises FileError, CheckerError.
    """
    beside = _beside(path)
    conditions, origin = read_about(path)
    task = conditions.task if conditions else path.name.removesuffix(SAMPLES_SUFFIX)
    checker = checker or _of_task(task, path)
    rows = read_parquet(path, ["problem", "status"], optional=["sound"])
    posed = _posed(beside)
    known = read_soundness(path) == checker.version and "sound" in rows.column_names
    if known:
        sound = rows["sound"].combine_chunks()
    else:
        if missing := {*rows["problem"].unique().to_pylist()} - posed[0].keys():
            raise FileError(f"{beside} has no reference of problem {min(missing)}, which the checker needs")
        parts = [checked(checker, chains, task) for chains in _chains(path, *posed)]
        sound = pa.array([one for part in parts for one in part], pa.bool_())
    names = tuple(posed[0]) or tuple(rows["problem"].unique().to_pylist())
    counts = _counts(path, names, rows, sound)
    graded = 0 if known else rows.num_rows
    return Looked(path, conditions, origin, names, counts, checker.version, sound, graded)


def _chains(path: Path, references: Mapping[str, Any], prompts: Mapping[str, str]) -> Iterator[list[Chain]]:
    """Of all samples, in the order of the file, part by part."""
    for part in sample_blocks(path, ["problem", "text", "status"]):
        rows = zip(*(part[name].to_pylist() for name in ("problem", "text", "status")), strict=True)
        yield [
            Chain(text, references[problem], prompts.get(problem, ""), status == Status.CORRECT)
            for problem, text, status in rows
        ]


@dataclass(frozen=True)
class RightAnswer:
    """A right answer of a stored file that an exact checker decided on."""

    problem: str
    chain: Chain
    sound: bool


def right_answers(path: Path, checker: Checker | None = None) -> tuple[str, str, list[RightAnswer]]:
    """The task, the checker's version, and every right answer of <task>.samples.parquet that it decides on.

    checker: by default the task's own. Raises FileError, CheckerError.
    """
    looked, (references, prompts) = look(path, checker), _posed(_beside(path))
    task = looked.conditions.task if looked.conditions else path.name.removesuffix(SAMPLES_SUFFIX)
    found, before = [], 0
    for part in sample_blocks(path, ["problem", "text", "status"]):
        rows = zip(
            *(part[name].to_pylist() for name in ("problem", "text", "status")),
            looked.sound.slice(before, part.num_rows).to_pylist(),
            strict=True,
        )
        before += part.num_rows
        found += [
            RightAnswer(problem, Chain(text, references.get(problem), prompts.get(problem, "")), sound)
            for problem, text, status, sound in rows
            if status == Status.CORRECT and sound is not None
        ]
    return task, looked.checker, found


def store(looked: Looked) -> None:
    """Writes the column `sound` of the samples file, and `sound` and `undecided` of the counts beside it."""
    beside = _beside(looked.path)
    place = {problem: i for i, problem in enumerate(looked.problems)}
    columns = {"sound": looked.counts.sound.correct, "undecided": looked.counts.undecided}

    def counted(table: pa.Table) -> dict[str, pa.Array]:
        rows = [place[problem] for problem in table["problem"].to_pylist()]
        return {name: pa.array(values[rows], pa.int64()) for name, values in columns.items()}

    _replace(looked.path, looked.checker, lambda _: {"sound": looked.sound})
    if beside.is_file():
        _replace(beside, looked.checker, counted)


def store_records(run_dir: ProbeDir, looked: Mapping[tuple[str, str], Looked]) -> None:
    """Puts soundness into the records of probe.jsonl. looked: by "base" or "step N", and task."""
    if not run_dir.probe.is_file():
        return
    with run_dir.writing_records():
        rows = []
        for number, row in enumerate(read_jsonl(run_dir.probe, once=["step", "task"]), start=1):
            record = read_record(row, f"{run_dir.probe}, line {number}")
            base = looked.get(("base", record.task))
            policy = looked.get((f"step {record.step}", record.task)) or looked.get(("model", record.task))
            if base and policy and base.checker == policy.checker and base.problems == policy.problems:
                same = base.origin is not None and base.origin == policy.origin
                counts = policy.counts if same else base.counts
                made = sound_record(counts, policy.counts, record.gap_k, record.ks)
                row = {**row, "soundness": policy.checker, "sound": asdict(made)}
            rows.append(row)
        write_jsonl(run_dir.probe, rows)


def _of_task(task: str, path: Path) -> Checker:
    """The checker that a task has by default."""
    try:
        checker = build_checker_of(task.partition("/")[0])
    except (KeyError, PluginError):
        checker = None
    if checker is None:
        raise FileError(
            f"{path}: task {task} has no checker of reasoning: give soundness=steps, soundness=arithmetic or "
            "soundness=judge"
        )
    return checker


def _beside(path: Path) -> Path:
    """Where the counts of a samples file lie."""
    return path.with_name(f"{path.name.removesuffix(SAMPLES_SUFFIX)}.parquet")


def _posed(beside: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """References and prompts by problem, in the order of the counts; empty where there are no counts."""
    if not beside.is_file():
        return {}, {}
    table = read_parquet(beside)
    problems = table["problem"].to_pylist()
    texts = table["prompt"].to_pylist() if "prompt" in table.column_names else []
    prompts = {problem: text for problem, text in zip(problems, texts, strict=bool(texts)) if text}
    if "reference" not in table.column_names:
        return dict.fromkeys(problems), prompts
    values = table["reference"].to_pylist()
    references = {
        problem: None if value is None else json.loads(value)
        for problem, value in zip(problems, values, strict=True)
    }
    return references, prompts


def _counts(path: Path, names: tuple[str, ...], rows: pa.Table, sound: pa.Array) -> SoundCounts:
    place = {name: i for i, name in enumerate(names)}
    owner = np.array([place[problem] for problem in rows["problem"].to_pylist()])
    right = pc.equal(rows["status"], str(Status.CORRECT)).to_numpy()
    wrong = pc.fill_null(pc.equal(sound, False), False).to_numpy(zero_copy_only=False)
    open_ = pc.is_null(sound).to_numpy(zero_copy_only=False)
    n, correct, unsound, undecided = (
        np.bincount(owner[flags], minlength=len(names))
        for flags in (np.ones_like(right), right, right & wrong, right & open_)
    )
    try:
        return SoundCounts.of(Counts(n, correct), correct - unsound, undecided)
    except ValueError as error:
        raise FileError(f"{path}: {error}") from None


def _replace(path: Path, checker: str, columns: Callable[[pa.Table], dict[str, pa.Array]]) -> None:
    """Rewrites a file with these columns and with the checker's name, in one rename."""
    table = read_parquet(path)
    for name, values in columns(table).items():
        if name in table.column_names:
            table = table.set_column(table.column_names.index(name), name, values)
        else:
            table = table.append_column(name, values)
    metadata = dict(table.schema.metadata or {})
    about = json.loads(metadata.get(METADATA, b"{}")) | {"soundness": checker}
    table = table.replace_schema_metadata({**metadata, METADATA: json.dumps(about).encode()})
    write_parquet(path, table)
