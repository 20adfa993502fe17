"""Alarms and records."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from rlvr.core.run_dir import RunDir, keep_jsonl, read_jsonl
from rlvr.planning.recipe import load_config
from rlvr.tracking.monitor import AlarmError, Monitor

HEALTHY = {
    "rollout/reward": 0.2,
    "rollout/truncated": 0.0,
    "rollout/unparsed": 0.0,
    "rollout/timed_out": 0.0,
    "reward/bad": 0.0,
    "rollout/duplicates": 0.1,
    "rollout/zero_variance": 0.3,
    "loss/skipped": 0.0,
    "mismatch/mean": 1e-6,
    "time/samples_per_second": 100.0,
}


@pytest.fixture
def monitor(tmp_path: Path) -> Monitor:
    config = load_config(["recipe=grpo_tiny", "steps=9", "monitor.max_skipped_updates=2"])
    return Monitor(config, RunDir(tmp_path))


def test_engine_and_trainer_apart_stops_the_run(monitor: Monitor) -> None:
    with monitor.training(0):
        monitor.log(1, HEALTHY)
        with pytest.raises(AlarmError, match=r"differ from the trainer's by 0\.3000.*old weights"):
            monitor.log(2, {**HEALTHY, "mismatch/mean": 0.3})


def test_skipped_updates_stop_the_run_when_they_repeat(monitor: Monitor) -> None:
    with monitor.training(0):
        monitor.log(1, {**HEALTHY, "loss/skipped": 1.0})
        monitor.log(2, HEALTHY)
        monitor.log(3, {**HEALTHY, "loss/skipped": 1.0})
        with pytest.raises(AlarmError, match="not finite 2 steps in a row"):
            monitor.log(4, {**HEALTHY, "loss/skipped": 0.5})


def test_warnings_are_said_once(monitor: Monitor, capsys: pytest.CaptureFixture[str]) -> None:
    with monitor.training(0):
        for step in (1, 2):
            monitor.log(step, {**HEALTHY, "rollout/truncated": 0.6})
    assert capsys.readouterr().err.count("raise rollouts.max_new_tokens") <= 1
    assert "rollout/truncated" in monitor._warned


def test_records_survive_a_torn_line_and_are_cut_back(monitor: Monitor) -> None:
    file = monitor.run_dir.metrics
    with monitor.training(0):
        for step in (1, 2, 3):
            monitor.log(step, {**HEALTHY, "loss/total": math.nan if step == 2 else 0.1})
    with open(file, "a") as lines:
        lines.write('{"step": 4, "rollout/rew')
    assert [row["step"] for row in read_jsonl(file)] == [1, 2, 3]
    keep_jsonl(file, lambda row: row["step"] <= 2)
    rows = read_jsonl(file)
    assert [row["step"] for row in rows] == [1, 2]
    assert math.isnan(rows[1]["loss/total"])
