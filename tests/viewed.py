"""Runs to be viewed: counts, samples in a store, episodes, kept rollouts, alarms, hostile texts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from evals.records.conditions import Conditions
from evals.records.files import COUNTS, REFERRING, Origin, counts_file, samples_file, stamped
from evals.records.gap_record import GapRecord
from evals.records.parquet import write_parquet
from evals.records.probe_dir import ProbeDir
from evals.records.store import SampleKey, SampleSet, token_hash, turns_text
from rlvr.core.run_dir import append_jsonl, step_folder, write_json
from rlvr.engines import Turn
from rlvr.tasks import build_checker_of, build_task
from rlvr.tracking.kept_rollouts import SCHEMA

# Nothing of these may run, hide, or turn what stands after it.
SCRIPT = '<script>document.title = "run"</script><img src=x onerror="document.title=\'run\'">'
UNSEEN = "bell\x07 escape\x1b[31m reversed \u202egnihtemos\u202c null\x00 zero\u200bwidth"
LONG = "7" * (1 << 20)
PROBLEMS = 12
N = 8
RATES = {"base": [0, 1, 2, 0, 8, 3, 1, 0, 2, 5, 0, 1], "policy": [0, 6, 8, 3, 8, 0, 7, 0, 8, 8, 1, 0]}


def write_view(root: Path, steps: int = 30) -> Path:
    """runs/good with a policy of step 30 on countdown:3, runs/other that only trains, runs/broken; beside
    them store/. Gives runs/."""
    runs = root / "runs"
    store = root / "store"
    _write_training(runs / "good", steps, 0.02, alarms=True)
    _write_training(runs / "other", steps // 2, 0.015)
    for folder, side in (("base", "base"), (step_folder(steps), "policy")):
        write_side(runs / "good" / "probes" / folder, store, side)
    for step in (0, steps):
        append_jsonl(ProbeDir(runs / "good").probe, record(step).row())
    _write_rollouts(runs / "good", steps)
    (runs / "broken").mkdir()
    (runs / "broken" / "config.json").write_text("{}")
    (runs / "broken" / "metrics.jsonl").write_text('{"step": 1}\nno json\n{"step": 2}\n')
    return runs


def chain(problem: int, index: int, right: bool, sound: bool) -> str:
    """A countdown answer; an unsound one has a step that is wrong."""
    if problem == 0:
        return (SCRIPT, UNSEEN, LONG, "plain")[index % 4]
    if not right:
        return f"6 + {index} = {6 + index} so the answer is {6 + index}"
    step = f"10 + 13 = {23 if sound else 99}"
    return f"{step}\n6 * 10 + 13 - 3 = 70\nAnswer: 6 * 10 + 13 - 3, for problem {problem} index {index // 2}"


def write_side(directory: Path, store: Path, side: str) -> None:
    """Samples in the store, and the files of a measurement that refer to them."""
    checker = build_checker_of("countdown:3")
    assert checker is not None
    about = Conditions("countdown:3", "d" * 16, "plain", build_task("countdown:3").grader, 0.6, 0.95, 64)
    key = SampleKey(side, "t", "plain", 0.6, 0.95, 64, "hf", "float32", 0)
    stored, light, counts = [], [], []
    for problem in range(PROBLEMS):
        right = RATES[side][problem]
        prompt = hashlib.sha256(str(problem).encode()).hexdigest()[:16]
        soundly = 0
        for index in range(N):
            correct = index < right
            sound = correct and (index % 2 == 0) and problem != 3
            soundly += sound
            text = chain(problem, index, correct, sound)
            ids = [ord(letter) for letter in text[:200]]
            row = {
                "problem": str(problem), "index": index, "tokens": len(ids), "logprob": -0.1 * len(ids),
                "finish_reason": "length" if problem == 7 else "stop",
                "status": "correct" if correct else "unparsed" if problem == 7 else "wrong",
                "extracted": "6 * 10 + 13 - 3" if correct else None if problem == 7 else f"{6 + index}",
                "sound": sound if correct else None, "prompt": prompt, "digest": token_hash(ids),
            }  # fmt: skip
            light.append(row)
            stored.append({**row, "seed": index, "token_ids": ids, "text": text})
        counts.append(
            {"problem": str(problem), "n": N, "correct": right, "n_max": N, "sound": soundly, "undecided": 0,
             "prompt": f"6 10 13 make {70 + problem}\n",
             "reference": json.dumps({"numbers": [6, 10, 13], "target": 70 + problem})}
        )  # fmt: skip
    samples = SampleSet(store, key)
    half = len(stored) // 2
    samples.append(stored[:half])
    samples.append(stored[half:])
    directory.mkdir(parents=True)
    origin = Origin(side, "t", "hf", "float32", 0)
    schema = stamped(REFERRING, about, origin, checker.version, key)
    write_parquet(
        samples_file(directory, "countdown:3"),
        pa.Table.from_pylist([{name: row[name] for name in schema.names} for row in light], schema),
    )
    write_parquet(
        counts_file(directory, "countdown:3"),
        pa.Table.from_pylist(counts, stamped(COUNTS, about, origin, checker.version)),
    )


def record(step: int, **changes: Any) -> GapRecord:
    values = {
        "step": step, "task": "countdown:3", "num_problems": PROBLEMS, "n": N, "base_n": N, "ks": [1, 8],
        "pass_at_k": [0.51, 0.75] if step else [0.24, 0.67], "base_pass_at_k": [0.24, 0.67], "gap_k": 8,
        "gap": 0.16 if step else 0.43, "gap_low": 0.05, "gap_high": 0.27, "pass_at_1_change": 0.27,
        "change_low": 0.1, "change_high": 0.4, "gained": 2, "lost": 2, "both": 6, "neither": 2,
        "truncated": 0.08, "unparsed": 0.08, "timed_out": 0.0, "duplicate_rate": 0.4, "samples_drawn": 96,
        "template": "plain", "sampling": {"temperature": 0.6, "top_p": 0.95, "max_new_tokens": 64},
        "grader": "exact", "policy_hash": "policy" if step else "base", "base_hash": "base", "stop_r": None,
        "samples": 96, "closed": 0.63 if step else 0.0, "coverage_k": 8, "coverage_lost": -0.08,
        "base_shares": {}, "data": "d", "gap_these_low": 0.1, "gap_these_high": 0.2, "intervals": "made",
    }  # fmt: skip
    return GapRecord(**values | changes)


def _write_training(path: Path, steps: int, gain: float, alarms: bool = False) -> None:
    here = ProbeDir(path)
    here.path.mkdir(parents=True)
    config = {"steps": 40, "seed": 1, "model": "tiny", "task": {"name": "countdown:3"},
              "algorithm": {"name": "grpo"}, "monitor": {"max_logprob_difference": 0.1}}  # fmt: skip
    write_json(here.config, config)
    for step in range(1, steps + 1):
        wave = 0.05 * ((step * 7) % 5 - 2)
        row = {
            "step": step, "rollout/reward": 0.1 + gain * step + wave / 4,
            "rollout/correct": 0.1 + gain * step,
            "rollout/length": 30 - 0.3 * step, "rollout/entropy": 1.2 / step**0.5, "rollout/unparsed": 0.02,
            "rollout/truncated": 0.4 if alarms and 4 <= step <= 9 else 0.01,
            "mismatch/mean": 1e-5 * (1 + wave),
            "time/step": 1.4 + wave, "time/samples_per_second": 180 + 40 * wave,
        }  # fmt: skip
        append_jsonl(here.metrics, row)


def _write_rollouts(path: Path, step: int) -> None:
    (path / "rollouts").mkdir()
    rows = []
    for position in range(8):
        for index in range(4):
            text = f"10 + 13 = {23 if index % 2 else 99}\nAnswer: 6 * 10 + 13 - 3"
            rows.append(_rollout(position, index, text, right=index < 2))
    episode = _rollout(8, 0, "guess 50 / guess 25", right=True)
    turns = [Turn(0, 4, 0.0, "guess 50", "lower"), Turn(6, 10, 1.0, "guess 25", "")]
    rows.append({**episode, "turns": turns_text(turns)})
    write_parquet(
        path / "rollouts" / f"{step_folder(step)}-rank0.parquet", pa.Table.from_pylist(rows, SCHEMA)
    )


def _rollout(position: int, index: int, text: str, right: bool) -> dict[str, Any]:
    pieces: Sequence[str] = [text[i : i + 3] for i in range(0, len(text), 3)]
    return {
        "problem": str(position), "position": position, "index": index,
        "prompt": f"6 10 13 make {position}\n", "text": text, "tokens": len(pieces),
        "logprobs": [-0.01 - (i * 37 % 11) / 3 for i in range(len(pieces))],
        "lengths": [len(piece) for piece in pieces], "finish_reason": "stop",
        "status": "correct" if right else "wrong", "extracted": "6 * 10 + 13 - 3", "sound": bool(index % 2),
        "reward": 1.0 if right else 0.0, "components": json.dumps({"outcome": float(right), "format": 0.1}),
        "advantage": 0.9 if right else -0.9, "trained": len(pieces), "turns": None,
    }  # fmt: skip
