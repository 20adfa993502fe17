"""What a run trained on, step by step, where its rollouts were kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from evals.records.parquet import read_parquet
from evals.records.schema import FileError
from evals.view.problems import place_in
from evals.view.samples import CUT
from rlvr.core.run_dir import RunDir
from rlvr.tracking.kept_rollouts import SCHEMA, kept_files

# Groups of a page.
PAGE = 6


def rollouts_page(run: Path, query: Mapping[str, str]) -> dict[str, Any]:
    """Groups of one kept step, the last by default, each with its completions. Raises FileError."""
    kept = kept_files(RunDir(run).rollouts)
    if not kept:
        return {"steps": [], "step": None, "total": 0, "offset": 0, "page": PAGE, "groups": []}
    asked = query.get("step") or str(max(kept))
    if not asked.isdecimal() or int(asked) not in kept:
        raise FileError(f"the rollouts of step {asked:.20} are not kept; those of {_named([*kept])} are")
    table = pa.concat_tables(read_parquet(file, SCHEMA.names) for file in kept[int(asked)])
    if text := (query.get("search") or "").lower():
        named = zip(table["problem"].to_pylist(), table["prompt"].to_pylist(), strict=True)
        table = table.filter(pa.array([text in p.lower() or text in said.lower() for p, said in named]))
    offset = place_in(query)
    positions = list(dict.fromkeys(sorted(table["position"].to_pylist())))
    shown = positions[offset : offset + PAGE]
    rows = table.filter(pa.compute.is_in(table["position"], pa.array(shown, pa.int64()))).to_pylist()
    groups = [[row for row in rows if row["position"] == position] for position in shown]
    return {
        "steps": [*kept], "step": int(asked), "total": len(positions), "offset": offset, "page": PAGE,
        "groups": [_group(sorted(group, key=lambda row: row["index"])) for group in groups],
    }  # fmt: skip


def _group(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    rewards = [row["reward"] for row in rows]
    return {
        "problem": rows[0]["problem"],
        "prompt": rows[0]["prompt"][:CUT],
        "reward": sum(rewards) / len(rewards),
        "rows": [_row(row) for row in rows],
    }


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    text, lengths = row["text"][:CUT], row["lengths"]
    kept = (
        "index",
        "tokens",
        "finish_reason",
        "status",
        "extracted",
        "sound",
        "reward",
        "advantage",
        "trained",
    )
    return {
        **{name: row[name] for name in kept},
        "text": text,
        "length": len(row["text"]),
        "logprob": sum(row["logprobs"]),
        "components": json.loads(row["components"]),
        "turns": json.loads(row["turns"]) if row["turns"] else None,
        "tokens_shown": None if lengths is None else _coloured(text, lengths, row["logprobs"]),
    }


def _coloured(text: str, lengths: Sequence[int], logprobs: Sequence[float]) -> list[tuple[str, float]]:
    """The text token by token, each with its log-prob as it was sampled."""
    parts, place = [], 0
    for length, logprob in zip(lengths, logprobs, strict=True):
        if length and place < len(text):
            parts.append((text[place : place + length], round(logprob, 4)))
        place += length
    return parts


def _named(steps: Sequence[int]) -> str:
    return f"{steps[0]} to {steps[-1]}" if len(steps) > 3 else ", ".join(map(str, steps))
