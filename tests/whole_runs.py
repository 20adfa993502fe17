"""Whole runs as processes of their own: waiting for them, and what they leave."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from forked import Forked

from rlvr.core.run_dir import read_jsonl

TRAINER = Path(__file__).resolve().parents[1] / "rlvr" / "train.py"


def finish(process: Forked, status: int = 0) -> str:
    """Waits for the end, checks the exit status, returns stderr."""
    _, errors = process.communicate(timeout=300)
    assert process.returncode == status, errors
    return errors


def steps(run: Path) -> list[dict[str, Any]]:
    """The step metrics without times."""
    rows = read_jsonl(run / "metrics.jsonl")
    timed = ("time/", "total/seconds")
    return [{k: v for k, v in row.items() if not k.startswith(timed)} for row in rows]


def contents(checkpoint: Path) -> dict[str, Any]:
    """Every file's bytes; without the seconds that the trainer's state counts, and so without its hash."""
    files = sorted(f for f in checkpoint.rglob("*") if f.is_file())
    found: dict[str, Any] = {str(f.relative_to(checkpoint)): f.read_bytes() for f in files}
    state = torch.load(io.BytesIO(found["trainer/state.pt"]), weights_only=True)
    assert state["totals"].pop("seconds") > 0
    hashes = json.loads(found["manifest.json"])
    del hashes["trainer/state.pt"]
    return found | {"trainer/state.pt": state, "manifest.json": hashes}


def wait_for_steps(run: Path, count: int, process: Forked) -> None:
    deadline = time.monotonic() + 240
    while len(read_jsonl(run / "metrics.jsonl")) < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kill_and_resume(train: Callable[..., Forked], run: Path, arguments: Sequence[str], after: int) -> None:
    """The run is killed once it has trained so many steps, and then goes on to its end."""
    process = train(*arguments, f"run_dir={run.name}")
    wait_for_steps(run, after, process)
    process.kill()
    process.communicate()
    finish(train(*arguments, f"run_dir={run.name}"))
