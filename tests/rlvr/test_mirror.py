"""The wandb mirror: what it writes offline is read back; a broken one changes nothing."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlvr import mirror
from rlvr.mirror import WandbMirror
from rlvr.recipe import load_config
from rlvr.run_dir import RunDir


def records(file: Path) -> Iterator[bytes]:
    """The records of a .wandb file: LevelDB's log format after a header of 7 bytes."""
    content, place, record = file.read_bytes(), 7, b""
    while place + 7 <= len(content):
        left = 32768 - place % 32768
        if left < 7:  # a block's end that is too short for a header
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        record += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


def read_back(file: Path) -> tuple[list[dict[str, object]], list[str]]:
    """History rows and the metrics that are drawn over `step`, from an offline run's file."""
    from wandb.proto import wandb_internal_pb2

    rows, over_step = [], []
    for content in records(file):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(content)
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            rows.append({".".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items})
        if record.WhichOneof("record_type") == "metric" and record.metric.step_metric == "step":
            over_step.append(record.metric.glob_name or record.metric.name)
    return rows, over_step


def test_offline_rows_are_read_back(tmp_path: Path) -> None:
    config = load_config(["recipe=grpo_tiny", "monitor.wandb=offline"])
    mirrored = WandbMirror(config, RunDir(tmp_path))
    mirrored.log({"step": 1, "rollout/reward": 0.25})
    mirrored.log({"step": 1, "probe/gap": 0.5})
    mirrored.close()
    assert mirrored.failure is None
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    deadline = time.monotonic() + 20  # wandb's own process writes the file
    while len(read_back(file)[0]) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    rows, over_step = read_back(file)
    assert [r.get("rollout/reward") for r in rows] == [0.25, None]
    assert rows[1]["probe/gap"] == 0.5 and rows[1]["step"] == 1
    assert over_step == ["*"]


def test_a_mirror_that_cannot_start_is_remembered_and_harmless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    monkeypatch.setattr(mirror, "PATIENCE", 0.5)
    config = load_config(["recipe=grpo_tiny", "monitor.wandb=online"])
    mirrored = WandbMirror(config, RunDir(tmp_path))
    mirrored.log({"step": 1})
    mirrored.close()
    assert mirrored.failure is not None


def test_disabled_starts_nothing(tmp_path: Path) -> None:
    mirrored = WandbMirror(load_config(["recipe=grpo_tiny"]), RunDir(tmp_path))
    mirrored.log({"step": 1})
    mirrored.close()
    assert list(tmp_path.iterdir()) == []
