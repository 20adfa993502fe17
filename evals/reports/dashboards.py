"""What a probe says, for dashboards: numbers, the pass@k curves, some samples to read, the counts."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from evals.records.files import counts_file, plain_name, read_soundness, samples_file
from evals.records.gap_record import GapRecord
from evals.records.parquet import read_parquet
from evals.records.probe_dir import ProbeDir
from evals.records.samples import read_samples
from rlvr.core.seeds import derive_seed
from rlvr.hooks import Curves, HookReport, Table
from rlvr.tasks import Task

# Samples of each task that are shown.
SHOWN = 64
COLUMNS = ("problem", "index", "prompt", "completion", "verdict", "extracted", "logprob", "tokens")


def dashboard_report(records: Sequence[GapRecord], tasks: Sequence[Task], run_dir: ProbeDir) -> HookReport:
    """One probe's records, one of each task; the first task is the one that runs are sorted by.

    metrics: probe/gap and so on for the first task, probe/<task>/gap for every task. In the keys of tables
    and curves, which become file names, the `:` of a task name is `-`.
    """
    of_task = {record.task: record for record in records}
    metrics: dict[str, float] = {}
    for task, record in of_task.items():
        metrics |= {f"probe/{task}/{name}": value for name, value in record.metrics().items()}
    first = of_task[tasks[0].name]
    details = run_dir.of_step(first.step)
    return HookReport(
        metrics=metrics | {f"probe/{name}": value for name, value in first.metrics().items()},
        summary=summary(first),
        tables={
            f"samples/{plain_name(task.name)}": partial(some_samples, samples_file(details, task.name), task)
            for task in tasks
        },
        curves={f"pass_at_k/{plain_name(task)}": curves(record) for task, record in of_task.items()},
        files=(run_dir.probe, *counts_of_steps(run_dir, tasks, first.step)),
    )


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
        "closed": record.closed,
        "coverage_lost": record.coverage_lost,
    } | _sound_summary(record)


def _sound_summary(record: GapRecord) -> dict[str, float | None]:
    """Nothing where no checker looked."""
    if record.sound is None:
        return {}
    k = record.gap_k
    return {
        "sound_pass_at_1": record.sound_at(1),
        f"sound_pass_at_{k}": record.sound_at(k),
        "sound_gap": record.sound.gap,
        "unsound": record.sound.unsound,
    }


def curves(record: GapRecord) -> Curves:
    """pass@k of base and policy over log2 k, each as far as it was estimated."""
    sides = {"base": record.base_pass_at_k, "policy": record.pass_at_k}
    if record.sound is not None:
        sides |= {"base, sound": record.sound.base_pass_at_k, "policy, sound": record.sound.pass_at_k}
    lines = {}
    for name, values in sides.items():
        known = [(math.log2(k), v) for k, v in zip(record.ks, values, strict=True) if v is not None]
        lines[name] = ([x for x, _ in known], [y for _, y in known])
    return Curves(f"pass@k on {record.task}, step {record.step}", "log2 k", lines)


def some_samples(path: Path, task: Task, count: int = SHOWN) -> Table:
    """At most `count` samples of a samples file, by a choice that depends on (task, problem, index) alone,
    so that probes of equal size show the same ones; all of them where they are fewer."""
    names = read_parquet(path, ["problem", "index"])
    keys = zip(names["problem"].to_pylist(), names["index"].to_pylist(), strict=True)
    chosen = set(heapq.nsmallest(count, keys, key=lambda key: derive_seed("shown", task.name, *key)))
    columns = ["problem", "index", "text", "status", "extracted", "logprob", "tokens"]
    only = ("problem", sorted({problem for problem, _ in chosen}))
    rows = read_samples(path, columns, only, optional=["sound"])
    looked = read_soundness(path) is not None
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
            *([row["sound"]] if looked else []),
        )
        for row in rows.to_pylist()
        if (row["problem"], row["index"]) in chosen
    ]
    return Table((*COLUMNS, "sound") if looked else COLUMNS, sorted(shown, key=lambda row: row[:2]))


def counts_of_steps(run_dir: ProbeDir, tasks: Sequence[Task], last: int) -> list[Path]:
    """The counts files of every probe up to a step."""
    steps = [directory for step, directory in run_dir.probed().items() if step <= last]
    files = [counts_file(directory, task.name) for directory in steps for task in tasks]
    return [file for file in files if file.exists()]
