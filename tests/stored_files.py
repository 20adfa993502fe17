"""Measurements on disk, as the probe leaves them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evals.records.conditions import Conditions
from evals.records.files import COUNTS, SAMPLES, Origin, counts_file, samples_file, stamped

CONDITIONS = Conditions("sums:2", "d" * 16, "plain", "exact-1", 0.6, 0.95, 64)
ORIGIN = Origin("w" * 16, "t" * 16, "hf", "float32", 0)


def write_measured(
    directory: Path,
    answers: Mapping[str, Sequence[str | None]],
    right: Mapping[str, str],
    stop_r: int | None = None,
    n_max: int | None = None,
    **conditions: Any,
) -> None:
    """Counts and samples of answers by problem; the samples with the answer `right` are correct."""
    directory.mkdir(parents=True, exist_ok=True)
    about = replace(CONDITIONS, **conditions)
    counts, samples = [], []
    for problem, given in answers.items():
        for index, answer in enumerate(given):
            status = "unparsed" if answer is None else "correct" if answer == right[problem] else "wrong"
            ids = [ord(letter) for letter in answer or "?"]
            samples.append(
                {"problem": problem, "index": index, "text": f"it is {answer}", "token_ids": ids,
                 "tokens": len(ids), "logprob": -1.0, "finish_reason": "stop" if answer else "length",
                 "status": status, "extracted": answer}
            )  # fmt: skip
        counts.append(
            {"problem": problem, "n": len(given), "correct": sum(a == right[problem] for a in given),
             "stop_r": stop_r, "n_max": n_max or max(map(len, answers.values())),
             "prompt": f"What is {problem}?", "reference": json.dumps(right[problem])}
        )  # fmt: skip
    for rows, schema, file in (
        (counts, COUNTS, counts_file(directory, about.task)),
        (samples, SAMPLES, samples_file(directory, about.task)),
    ):
        pq.write_table(pa.Table.from_pylist(rows, stamped(schema, about, ORIGIN)), file)


def write_jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
