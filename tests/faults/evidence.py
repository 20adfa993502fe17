"""What a campaign compares to the bit, and what a program may not leave behind."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch

from evals.commands.store import sample_sets
from rlvr.core.records import SUMS
from rlvr.core.run_dir import read_jsonl

LITTER = re.compile(r"\..+\.[0-9a-f]{8}|\.partial-.+|\.done-.+")
TIMED = ("time/", "total/seconds")


def evidence(directory: Path) -> dict[str, Any]:
    """All that has to be equal however often a program was stopped, by where it lies: weights, optimizer and
    state, metrics without times, gap records, counts and samples, and the store with its verdicts."""
    found: dict[str, Any] = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        if SUMS in path.parts:  # of lines with times
            continue
        if path.is_dir() or "store" in path.relative_to(directory).parts[:1] or LITTER.search(name):
            continue
        if path.name in ("model.safetensors", "replica.pt", "policy.pt", "adapter_model.safetensors"):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.name == "state.pt":
            state = torch.load(io.BytesIO(path.read_bytes()), weights_only=True)
            state["totals"].pop("seconds")
            found[name] = repr(state)
        elif path.name in ("metrics.jsonl", "probe.jsonl"):
            found[name] = [json.dumps(_untimed(row), sort_keys=True) for row in read_jsonl(path)]
        elif path.suffix == ".parquet":
            found[name] = _hash(pq.read_table(path).to_pylist())
    for samples in sample_sets(directory / "store"):
        rows = samples.read(["digest", "text", "logprob", "seed", "tokens", "finish_reason"])
        found[f"store {samples.directory.name}"] = _hash(rows.to_pylist())
        for said in samples.tables()[1:]:
            columns = [c for c in ("status", "score", "extracted", "sound") if c in said.schema.names]
            found[f"store {said.directory.relative_to(directory)}"] = _hash(said.read(columns).to_pylist())
    return found


def differences(whole: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Where the evidence of an interrupted program differs from that of one that nothing stopped."""
    names = sorted(whole.keys() | other.keys())
    return [
        f"{name} {'differs' if name in whole and name in other else 'is only in one'}"
        for name in names
        if whole.get(name) != other.get(name)
    ]


def litter(directory: Path) -> list[str]:
    """What dead processes left of files that they were writing."""
    return [str(path.relative_to(directory)) for path in directory.rglob(".*") if LITTER.fullmatch(path.name)]


def left_behind(word: str, within: float = 60.0) -> tuple[list[int], float]:
    """Processes with the word in their command line, or in whose directory they work, that are there after
    so many seconds; and the seconds until there were none."""
    began = time.monotonic()
    while found := _processes(word):
        if time.monotonic() - began > within:
            break
        time.sleep(0.1)
    return found, time.monotonic() - began


def _processes(word: str) -> list[int]:
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            command = (place / "cmdline").read_bytes().decode(errors="replace")
            inside = os.readlink(place / "cwd").startswith(word)
            state = (place / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if (word in command or inside) and state != "Z" and int(place.name) != os.getpid():
            found.append(int(place.name))
    return found


def _untimed(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.startswith(TIMED)}


def _hash(rows: list[dict[str, Any]]) -> str:
    return hashlib.sha256(repr(rows).encode()).hexdigest()
