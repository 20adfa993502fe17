"""The task `data`: rows of the user's own, posed and verified as the user says; see docs/own-data.md."""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

from pydantic import Field

from rlvr.config import registry
from rlvr.graders.answers.reading import Place
from rlvr.graders.math.grader import GraderName
from rlvr.graders.soundness import NONE, SoundnessName, build_checker
from rlvr.graders.thoughts import AfterThought, ends_in_thought
from rlvr.tasks import TASKS, Task
from rlvr.tasks.data.columns import Columns, DataError
from rlvr.tasks.data.names import NAME, label_of
from rlvr.tasks.data.places import File, find_files
from rlvr.tasks.data.posing import Posing, posing_of, shots_of
from rlvr.tasks.data.reading import Item, ReadData, read
from rlvr.tasks.data.splits import How, split
from rlvr.tasks.data.verifiers import check_name, verifier_of
from rlvr.tasks.programs.evalplus import Seconds
from rlvr.tasks.sources import BadRows
from rlvr.tasks.templates import TEMPLATES
from rlvr.tasks.templates.chat import NAME as CHAT
from rlvr.tasks.templates.chat import Thinking, as_thinking
from rlvr.tasks.templates.files import read_template

Share = Annotated[float, Field(gt=0, lt=1)]
LONGEST_ROW = 1_000_000
GUESSED = Columns()


@dataclass(frozen=True)
class Made:
    """A data set as a task, with the rows behind it, for whoever shows them."""

    task: Task
    files: tuple[File, ...]
    read: ReadData
    train: Sequence[Item]
    test: Sequence[Item]
    posing: Posing


def data(
    path: str,
    label: str | None = None,
    test_path: str | None = None,
    revision: str | None = None,
    columns: Columns = GUESSED,
    filters: dict[str, Any] | None = None,
    max_rows: Annotated[int, Field(ge=1)] | None = None,
    longest_row: Annotated[int, Field(ge=1)] = LONGEST_ROW,
    split_by: How = "auto",
    test_share: Share = 0.1,
    split_seed: int = 0,
    verifier: str = "math",
    grader: GraderName = "strict",
    tolerance: Annotated[float, Field(ge=0)] = 0.0,
    ignore_case: bool = False,
    answer_in: Place | None = None,
    template: str = "r1_zero",
    instruction: str | None = None,
    system: str | None = None,
    thinking: Thinking | bool | None = None,
    few_shot: Annotated[int, Field(ge=0)] = 0,
    stop: tuple[str, ...] | None = None,
    test_seconds: Seconds = 6.0,
    problem_seconds: Seconds = 60.0,
    allow_unsafe: bool = False,
    bad_rows: BadRows = "stop",
    soundness: SoundnessName = NONE,
) -> Task:
    """Rows of jsonl, json, csv, tsv or parquet files, of a directory of them, or of a data set of the hub.

    Results are named after `label` (default: the file's stem) and a hash of the test rows. Raises DataError.
    """
    return make(**locals()).task


def make(**options: Any) -> Made:
    """What `data` makes of the same keys. The files are read again only where they have changed."""
    files = _files(options["path"], options["test_path"], options["revision"])
    state: list[Any] = [(str(f.path), f.side, *_state(f)) for f in files]
    if options["template"] not in (*TEMPLATES, CHAT):
        state.append(read_template(options["template"]).name)
    written = json.dumps(options, sort_keys=True, default=lambda section: section.model_dump())
    with _uncollected():
        return _made(json.dumps(state), written, _Held(files, options))


def remade(options: Mapping[str, Any]) -> Made:
    """The same of keys as a configuration has them."""
    checked = registry.schema(TASKS, NAME).model_validate(options)
    return make(**{field: getattr(checked, field) for field in type(checked).model_fields})


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the garbage collector, which would go through rows again and again that all stay."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Held:
    """Arguments that the cache tells apart by its other arguments."""

    def __init__(self, files: tuple[File, ...], options: dict[str, Any]):
        self.files, self.options = files, options

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=4)
def _made(state: str, written: str, held: _Held) -> Made:
    o = held.options
    check_name(o["verifier"])
    thinking = as_thinking(o["thinking"])
    posing = posing_of(
        o["template"], o["verifier"], o["instruction"], o["answer_in"], o["system"], thinking, o["few_shot"]
    )
    rows = read(held.files, o["columns"], o["verifier"], o["filters"] or {}, o["longest_row"], o["bad_rows"])
    _check_columns(posing, rows)
    items = rows.items if o["max_rows"] is None else rows.items[: o["max_rows"]]
    how: How = "given" if o["test_path"] else o["split_by"]
    train, test, said = split(items, how, o["test_share"], o["split_seed"], rows.complaints)
    shots = shots_of(train, posing, o["split_seed"])
    problems = [[posing.problem(item, shots) for item in side] for side in (train, test)]
    verifier = verifier_of(
        o["verifier"], posing.place, o["grader"], o["tolerance"], o["ignore_case"], o["test_seconds"],
        o["problem_seconds"], o["allow_unsafe"],
    )  # fmt: skip
    if any(ends_in_thought(p.prompt) for side in problems for p in side[:1]):
        verifier = AfterThought(verifier)
    task = Task(
        name=f"{label_of(o)}@{content_hash(test or train)}",
        train=problems[0],
        test=problems[1],
        verifier=verifier,
        template=posing.stamp(shots),
        skipped=rows.complaints.count,
        chat=posing.chat(shots),
        stop=posing.stops if o["stop"] is None else o["stop"],
        notes=tuple(_notes(held.files, rows, said, posing)),
        checker=build_checker(o["soundness"]),
    )
    return Made(task, held.files, rows, train, test, posing)


def content_hash(items: Sequence[Item]) -> str:
    """8 hex digits of what the rows ask and take for right, in order, however it is posed."""
    rows = [[item.id, item.parts.question, item.parts.reference] for item in items]
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()[:8]


def _files(path: str, test_path: str | None, revision: str | None) -> tuple[File, ...]:
    files = find_files(path, revision)
    if test_path is None:
        return tuple(files)
    if test_path == path:
        raise DataError(f"task.test_path and task.path are the same file, {path}")
    train = [File(file.path, "train") for file in files]
    return (*train, *(File(file.path, "test") for file in find_files(test_path, revision)))


def _state(file: File) -> tuple[int, int]:
    there = file.path.stat()
    return there.st_mtime_ns, there.st_size


def _check_columns(posing: Posing, rows: ReadData) -> None:
    """Raises DataError where the user's template names a column that rows do not have."""
    if isinstance(posing.template, str):
        return
    for name in posing.template.columns:
        lacking = next((item for item in rows.items if name != "question" and name not in item.columns), None)
        if lacking is not None:
            raise DataError(
                f"task.template names {{{name}}}, and {lacking.place} has no such column; it has "
                f"{', '.join(lacking.columns)}"
            )


def _notes(files: Sequence[File], rows: ReadData, said: str, posing: Posing) -> list[str]:
    notes = [f"columns guessed: {', '.join(rows.guesses)}"] if rows.guesses else []
    notes.append(f"split: {said}")
    if rows.filtered:
        notes.append(f"{rows.filtered:,} rows did not pass task.filters")
    if rows.complaints.count:
        notes.append(f"{rows.complaints.count:,} bad rows left out, first {rows.complaints.first[0]}")
    if len(files) > 1:
        notes.append(f"{len(files)} files: {', '.join(file.path.name for file in files[:8])}")
    return notes
