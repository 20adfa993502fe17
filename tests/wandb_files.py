"""Reads back what wandb wrote to a .wandb file: protobuf records in LevelDB's log format."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HEADER, BLOCK = 7, 32768


def records(file: Path) -> Iterator[Any]:
    """The records of a .wandb file, in their order."""
    from wandb.proto import wandb_internal_pb2

    content, place, data = file.read_bytes(), HEADER, b""
    while place + HEADER <= len(content):
        left = BLOCK - place % BLOCK
        if left < HEADER:  # a block's end that is too short for a header
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + HEADER])
        data += content[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (1, 4):  # whole, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            yield record
            data = b""


@dataclass
class Recorded:
    """What one file says of a run."""

    run: Any = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    axes: dict[str, str] = field(default_factory=dict)  # metric or glob -> what it is drawn over
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: list[Any] = field(default_factory=list)
    exit: Any = None

    @property
    def config(self) -> dict[str, Any]:
        return values(self.run.config.update)


def recorded(file: Path) -> Recorded:
    found = Recorded()
    for record in records(file):
        kind = record.WhichOneof("record_type")
        content = getattr(record, kind)
        if kind in ("run", "exit"):
            setattr(found, kind, content)
        elif kind == "history":
            found.rows.append(values(content.item))
        elif kind == "summary":
            found.summary |= values(content.update)
        elif kind == "metric":
            found.axes[content.glob_name or content.name] = content.step_metric
        elif kind == "artifact":
            found.artifacts.append(content)
    return found


def values(items: Any) -> dict[str, Any]:
    return {".".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items}


def the_file(run_dir: Path) -> Path:
    """The newest .wandb file below a run directory that is recorded offline."""
    return sorted(run_dir.glob("wandb/offline-run-*/*.wandb"))[-1]
