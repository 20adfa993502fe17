"""Measurements of which most samples have no verdict: `rlvr.tasks.unread` on what is stored."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from evals.records.conditions import Conditions
from evals.records.files import read_about, read_counts
from evals.records.measurement import Measurement
from evals.records.parquet import read_parquet
from evals.records.samples import SAMPLES_SUFFIX, SamplesGoneError, read_samples
from evals.records.store import SampleSet
from rlvr.core.errors import UserError
from rlvr.graders import Status, StringVerifier
from rlvr.tasks import Task, build_task
from rlvr.tasks.unread import NO_VERDICT, TRIED, Graded, is_unread, warning


def unread_measurement(task: Task, measured: Measurement, samples: SampleSet) -> str | None:
    """What to say of a measurement before its numbers; None where most samples have a verdict."""
    shares = measured.shares
    if not is_unread(shares["unparsed"], shares["timed_out"]):
        return None
    table = measured.table.append_column("owner", pa.array(measured.owner))
    first = table.filter(_lost(table["status"])).slice(0, TRIED)
    prompts = [measured.prompt_hashes[own] for own in first["owner"].to_pylist()]
    stored = samples.read(["text"], {*prompts})
    keys = zip(stored["prompt"].to_pylist(), stored["index"].to_pylist(), strict=True)
    texts = dict(zip(keys, stored["text"].to_pylist(), strict=True))
    some = [
        Graded(
            texts[prompt, row["index"]],
            measured.problems[row["owner"]].reference,
            row["status"],
            row["finish_reason"] == "length",
        )
        for prompt, row in zip(prompts, first.to_pylist(), strict=True)
    ]
    return warning(task, table.num_rows, *_counts(table["status"]), some)


def unread_file(path: Path) -> str | None:
    """The same of <task>.samples.parquet, a file of samples; None of any other file. Raises FileError."""
    if not path.name.endswith(SAMPLES_SUFFIX):
        return None
    rows = read_parquet(path, ["problem", "index", "status", "finish_reason"])
    unparsed, timed_out = _counts(rows["status"])
    if not rows.num_rows or not is_unread(unparsed / rows.num_rows, timed_out / rows.num_rows):
        return None
    about, _ = read_about(path)
    name = about.task if about else path.name.removesuffix(SAMPLES_SUFFIX)
    first = rows.filter(_lost(rows["status"])).slice(0, TRIED)
    some: list[Graded] = []
    with suppress(SamplesGoneError):  # its counts are whole, and shown
        some = _with_texts(path, first)
    return warning(_built(name, about), rows.num_rows, unparsed, timed_out, some)


def warn_of(files: Iterable[Path | None]) -> bool:
    """Says on stderr which files of samples are such, and why; whether any is. Raises FileError."""
    found = [said for file in files if file is not None and (said := unread_file(file))]
    for said in found:
        print(said, file=sys.stderr, flush=True)
    return bool(found)


def _with_texts(path: Path, first: pa.Table) -> list[Graded]:
    beside = path.with_name(f"{path.name.removesuffix(SAMPLES_SUFFIX)}.parquet")
    references = read_counts(beside).references if beside.is_file() else {}
    problems = {*first["problem"].to_pylist()}
    table = read_samples(path, ["problem", "index", "text"], ("problem", problems))
    texts = {(row["problem"], row["index"]): row["text"] for row in table.to_pylist()}
    return [
        Graded(
            texts[row["problem"], row["index"]],
            json.loads(references.get(row["problem"], "null")),
            row["status"],
            row["finish_reason"] == "length",
        )
        for row in first.to_pylist()
    ]


def _built(name: str, about: Conditions | None) -> Task:
    """The task as it was measured, as far as a file says; one that knows no other template where its data
    cannot be had."""
    if about is not None:
        with suppress(UserError, ValidationError, KeyError):
            return build_task(name, template=about.template)
        with suppress(UserError, ValidationError, KeyError):
            return build_task(name)
    return Task(name, [], [], StringVerifier(lambda text, reference: (Status.UNPARSED, None), "none"))


def _lost(status: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.is_in(status, pa.array([str(one) for one in NO_VERDICT]))


def _counts(status: pa.ChunkedArray) -> tuple[int, int]:
    """unparsed, timed_out."""
    unparsed, timed_out = (pc.sum(pc.equal(status, str(one))).as_py() or 0 for one in NO_VERDICT)
    return unparsed, timed_out
