"""What a probe says, for dashboards: numbers, the pass@k curves, some samples to read, the counts."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from evals.estimators.gap import closed_fraction
from evals.files import counts_file, samples_file
from evals.gap_record import GapRecord
from rlvr.hooks import Curves, Report, Table
from rlvr.run_dir import RunDir
from rlvr.seeds import derive_seed
from rlvr.tasks import Task

# Samples of each task that are shown.
SHOWN = 64
COLUMNS = ("problem", "index", "prompt", "completion", "verdict", "extracted", "logprob", "tokens")


def dashboard_report(records: Sequence[GapRecord], tasks: Sequence[Task], run_dir: RunDir) -> Report:
    """One probe's records, one of each task; the first task is the one that runs are sorted by.

    metrics: probe/gap and so on for the first task, probe/<task>/gap for every task. In the keys of tables
    and curves, which become file names, the `:` of a task name is `-`.
    """
    of_task = {record.task: record for record in records}
    metrics: dict[str, float] = {}
    for task, record in of_task.items():
        metrics |= {f"probe/{task}/{name}": value for name, value in probe_metrics(record).items()}
    first = of_task[tasks[0].name]
    details = run_dir.probes / f"step_{first.step:06d}"
    return Report(
        metrics=metrics | {f"probe/{name}": value for name, value in probe_metrics(first).items()},
        summary=summary(first),
        tables={
            f"samples/{task.name.replace(':', '-')}": partial(
                some_samples, samples_file(details, task.name), task
            )
            for task in tasks
        },
        curves={f"pass_at_k/{task.replace(':', '-')}": curves(record) for task, record in of_task.items()},
        files=(run_dir.probe, *counts_of_steps(run_dir, tasks, first.step)),
    )


def probe_metrics(record: GapRecord) -> dict[str, float]:
    """With what training closed of the gap, and what it lost of the base's coverage, where known."""
    named = {"closed": closed(record), "coverage_lost": coverage_lost(record)}
    return record.metrics() | {name: value for name, value in named.items() if value is not None}


def summary(record: GapRecord) -> dict[str, float | None]:
    """A run's own numbers. Their names are letters, digits and _, which is what wandb can sort by."""
    k = record.gap_k
    return {
        "gap": record.gap,
        "gap_low": record.gap_low,
        "gap_high": record.gap_high,
        "pass_at_1": record.at(1),
        f"pass_at_{k}": record.at(k),
        f"base_pass_at_{k}": record.at(k, base=True),
        "closed": closed(record),
        "coverage_lost": coverage_lost(record),
    }


def closed(record: GapRecord) -> float | None:
    """The share of the base's room, from pass@1 to pass@K, that the policy's pass@1 has taken."""
    base_1, base_k, policy_1 = record.at(1, base=True), record.at(record.gap_k, base=True), record.at(1)
    if base_1 is None or base_k is None or policy_1 is None:
        return None
    return closed_fraction(base_1, base_k, policy_1)


def coverage_lost(record: GapRecord) -> float | None:
    """Of the problems that the base solved at least once, the share that the policy did not in as many
    samples; None where both did not have as many, or the base solved none."""
    if record.lost is None or record.both is None or record.lost + record.both == 0:
        return None
    return record.lost / (record.lost + record.both)


def curves(record: GapRecord) -> Curves:
    """pass@k of base and policy over log2 k, each as far as it was estimated."""
    sides = {"base": record.base_pass_at_k, "policy": record.pass_at_k}
    lines = {}
    for name, values in sides.items():
        known = [(math.log2(k), v) for k, v in zip(record.ks, values, strict=True) if v is not None]
        lines[name] = ([x for x, _ in known], [y for _, y in known])
    return Curves(f"pass@k on {record.task}, step {record.step}", "log2 k", lines)


def some_samples(path: Path, task: Task, count: int = SHOWN) -> Table:
    """At most `count` samples of a samples file, by a choice that depends on (task, problem, index) alone,
    so that probes of equal size show the same ones; all of them where they are fewer."""
    names = pq.read_table(path, columns=["problem", "index"])
    keys = zip(names["problem"].to_pylist(), names["index"].to_pylist(), strict=True)
    chosen = set(heapq.nsmallest(count, keys, key=lambda key: derive_seed("shown", task.name, *key)))
    rows = pq.read_table(path, filters=pc.field("problem").isin(sorted({problem for problem, _ in chosen})))
    prompts = {problem.id: problem.prompt for problem in task.test}
    shown = [
        (
            row["problem"],
            row["index"],
            prompts[row["problem"]],
            row["text"],
            row["status"],
            row["extracted"],
            row["logprob"],
            row["tokens"],
        )
        for row in rows.to_pylist()
        if (row["problem"], row["index"]) in chosen
    ]
    return Table(COLUMNS, sorted(shown, key=lambda row: row[:2]))


def counts_of_steps(run_dir: RunDir, tasks: Sequence[Task], last: int) -> list[Path]:
    """The counts files of every probe up to a step."""
    steps = sorted(d for d in run_dir.probes.glob("step_*") if int(d.name.removeprefix("step_")) <= last)
    files = [counts_file(directory, task.name) for directory in steps for task in tasks]
    return [file for file in files if file.exists()]
