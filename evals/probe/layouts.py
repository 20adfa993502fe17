"""Checkpoints of any trainer in a directory: where each lies, and whether it is written to its end.

| trainer | below the directory |
|---|---|
| verl | global_step_N/actor/huggingface, with hf_model among the contents that are saved |
| OpenRLHF | global_stepN_hf, with --save_hf_ckpt |
| prime-rl | weights/step_N |
| TRL, transformers | checkpoint-N |
| this one | checkpoints/step_N/policy, or step_N |
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Path below the directory that is watched -> training step.
_LAYOUTS = {
    "verl": re.compile(r"(?:.*/)?global_step_(\d+)(?:/actor)?/huggingface"),
    "OpenRLHF": re.compile(r"(?:.*/)?global_step(\d+)_hf"),
    "ours": re.compile(r"(?:.*/)?step_(\d+)/policy"),
    "prime-rl": re.compile(r"(?:.*/)?step_(\d+)"),
    "TRL": re.compile(r"(?:.*/)?checkpoint-(\d+)"),
}
_DEEPEST = 5
# Folders that hold no checkpoints of a run that is going on: what another probe keeps, and hidden ones.
_PASSED_OVER = ("probes", "jobs", "best", "evidence", "exchange", "wandb")
_WEIGHTS = ("model", "adapter_model")


@dataclass(frozen=True)
class Found:
    """A checkpoint. lacks: what it has not yet; empty where it is whole. changed: when a file of it last
    was, in seconds since the epoch."""

    step: int
    path: Path
    trainer: str
    lacks: str
    changed: float


def checkpoints(directory: Path, apart_from: Path | None = None) -> list[Found]:
    """The checkpoints below a directory, the earliest first; of one step the one that has weights.

    apart_from: a directory that is not looked into, since what is found is copied there.
    """
    found: dict[int, Found] = {}
    for path in _folders(directory, _DEEPEST, apart_from and apart_from.resolve()):
        name = path.relative_to(directory).as_posix()
        for trainer, layout in _LAYOUTS.items():
            if match := layout.fullmatch(name):
                one = _looked_at(path, int(match[1]), trainer)
                if one is not None and (one.step not in found or (found[one.step].lacks and not one.lacks)):
                    found[one.step] = one
                break
    return [found[step] for step in sorted(found)]


def _folders(directory: Path, depth: int, apart_from: Path | None) -> Iterator[Path]:
    try:
        below = sorted(path for path in directory.iterdir() if path.is_dir())
    except OSError:  # it was removed meanwhile
        return
    for path in below:
        if path.name.startswith(".") or path.name in _PASSED_OVER or path.resolve() == apart_from:
            continue
        yield path
        if depth > 1:
            yield from _folders(path, depth - 1, apart_from)


def _looked_at(path: Path, step: int, trainer: str) -> Found | None:
    """None for a folder that holds nothing of a model, such as one that only has it further below."""
    try:
        files = [file for file in path.iterdir() if file.is_file()]
        names = {file.name for file in files}
        configs = names & {"config.json", "adapter_config.json"}
        if not configs and not any(name.endswith(".safetensors") for name in names):
            return None
        return Found(step, path, trainer, _lacks(path, names), max(file.stat().st_mtime for file in files))
    except (OSError, ValueError):  # it is being written or removed
        return None


def _lacks(path: Path, names: set[str]) -> str:
    adapter = "adapter_model.safetensors" in names or "adapter_config.json" in names
    config = "adapter_config.json" if adapter else "config.json"
    if config not in names:
        return config
    stem = _WEIGHTS[adapter]
    shards = [f"{stem}.safetensors"]
    if (index := f"{stem}.safetensors.index.json") in names:
        try:
            shards = sorted({*json.loads((path / index).read_text())["weight_map"].values()})
        except (ValueError, KeyError, AttributeError):
            return index
    for shard in shards:
        if shard not in names or not is_whole(path / shard):
            return f"{shard} to its end" if shard in names else shard
    return ""


def is_whole(file: Path) -> bool:
    """Whether a safetensors file has all the bytes that its header speaks of."""
    try:
        size = file.stat().st_size
        with open(file, "rb") as content:
            length = int.from_bytes(content.read(8), "little")
            if size < 8 + length or length > 100_000_000:
                return False
            header = json.loads(content.read(length))
        ends = [about["data_offsets"][1] for name, about in header.items() if name != "__metadata__"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return size >= 8 + length + max(ends, default=0)
