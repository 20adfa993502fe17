"""Run directories as the trainer and the probe leave them, with counts of one's choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evals.records.conditions import Conditions
from evals.records.files import COUNTS, Origin, counts_file, stamped
from evals.records.probe_dir import ProbeDir
from rlvr.core.run_dir import append_jsonl, write_json
from rlvr.planning.recipe import load_config
from rlvr.runs.resume import mark_finished

CONDITIONS = Conditions("countdown:3", "d" * 16, "plain", "exact-1", 0.6, 0.95, 64)
N = 8
# Successes of N samples, by problem.
BASE = [0, 1, 2, 4, 0, 8]
POLICY = [0, 4, 5, 8, 0, 8]


def write_counts(
    directory: Path, correct: Sequence[int], weights: str, n: int = N, stop_r: int | None = None,
    soundness: str | None = None, **conditions: Any,
) -> None:  # fmt: skip
    """Problems are named by their places. soundness: a checker that found half of the right answers sound."""
    about = replace(CONDITIONS, **conditions)
    rows = [
        {"problem": str(i), "n": n, "correct": c, "stop_r": stop_r, "n_max": n, "prompt": f"{i}?"}
        | ({"sound": c // 2, "undecided": 0} if soundness else {})
        for i, c in enumerate(correct)
    ]
    schema = stamped(COUNTS, about, Origin(weights, "t" * 16, "hf", "float32", 0), soundness)
    directory.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), counts_file(directory, about.task))


def write_run(
    path: Path,
    *arguments: str,
    policies: Mapping[int, Sequence[int]] | None = None,
    base: Sequence[int] = BASE,
    base_weights: str = "base",
    finished: bool = True,
    trained: int = 4,
    samples: int = 16,
    n: int = N,
    hashes: bool = False,
    **conditions: Any,
) -> Path:
    """A run of 4 steps that was probed at 2 and 4, on one task, K = 8.

    arguments: of the trainer. policies: counts by step. trained: steps that were logged, each of so many
    samples. hashes: whether the records name the weights. conditions: of the measurements, where they are not
    CONDITIONS.
    """
    settings = (f"run_dir={path}", "steps=4", "save_every=2", "probe.k=8", "probe.tasks=[countdown:3]")
    config = load_config([*settings, *arguments])
    here = ProbeDir(path)
    here.path.mkdir(parents=True)
    write_json(here.config, config.model_dump(mode="json"))
    for step in range(1, trained + 1):
        append_jsonl(here.metrics, logged(step, samples))
    task = conditions.get("task", CONDITIONS.task)
    write_counts(here.probes / "base", base, base_weights, n, **conditions)
    append_jsonl(here.probe, {"step": 0, "task": task, "samples_drawn": 48})
    for step, correct in (policies or {2: BASE, 4: POLICY}).items():
        write_counts(here.probes / f"step_{step:06d}", correct, f"policy-{step}", n, **conditions)
        named = {"policy_hash": f"policy-{step}"} if hashes else {}
        append_jsonl(here.probe, {"step": step, "task": task, "samples_drawn": 48, **named})
    if finished:
        mark_finished(config, here)
    return path


def logged(step: int, samples: int) -> dict[str, float]:
    """What the trainer logs of a step."""
    return {
        "step": step, "rollout/correct": 0.1 * step, "rollout/reward": 0.1 * step,
        "rollout/entropy": 1 / step, "rollout/length": 10.0 + step, "mismatch/mean": 1e-6 * step,
        "total/samples": samples * step, "time/step": 1.5,
    }  # fmt: skip
