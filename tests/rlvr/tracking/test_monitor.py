"""Alarms and records."""

from __future__ import annotations

import math
from contextlib import nullcontext
from pathlib import Path

import pytest

from rlvr.core.run_dir import RunDir, keep_jsonl, read_jsonl
from rlvr.engines import Completion
from rlvr.graders import Status, Verdict
from rlvr.planning.recipe import load_config
from rlvr.rollouts.collect import Collected, Group, Scored
from rlvr.tasks import Problem, build_task
from rlvr.tasks.unread import UnreadError
from rlvr.tracking.monitor import WARNINGS, AlarmError, Monitor

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


def test_completions_without_a_verdict_are_explained_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The step goes on; with monitor.strict it ends the run on every process, with exit status 3."""
    monitor = Monitor(load_config(["recipe=grpo_tiny"]), RunDir(tmp_path))
    verdict = Verdict(Status.UNPARSED, 0.0)
    scored = Scored(Completion((1,), (-0.1,), "no answer here", "stop"), verdict, 0.0)
    group = Group(Problem("a", "1+1", "2"), 0, (1,), (scored,) * 4)
    collected = Collected((group,), (group,), 4, 4, 1)
    lost = {**HEALTHY, "rollout/unparsed": 1.0}
    with monitor.training(0):
        for step in (1, 2):
            monitor.warn_unread(build_task("countdown:3"), collected)
            monitor.log(step, lost)
    said = capsys.readouterr().err
    assert said.count("4 of 4 samples have no verdict") == 1 and "'no answer here'" in said
    strict = Monitor(load_config(["recipe=grpo_tiny", "monitor.strict=true"]), monitor.run_dir, active=False)
    with (
        strict.training(0),
        pytest.raises(UnreadError, match="step 3: most completions have no verdict") as e,
    ):
        strict.log(3, lost)
    assert e.value.status == 3


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


@pytest.mark.parametrize("resumed", [False, True])
def test_an_update_skipped_now_and_then_stops_the_run_too(tmp_path: Path, resumed: bool) -> None:
    """Every second step learns nothing; a part of the run that goes on remembers the parts before it."""
    config = load_config(["recipe=grpo_tiny", "steps=40"])
    monitor = Monitor(config, RunDir(tmp_path))
    for step in range(1, 9):
        if step == 1 or (resumed and step == 5):
            monitor = Monitor(config, RunDir(tmp_path))
            training = monitor.training(step - 1)
            training.__enter__()
        said = pytest.raises(AlarmError, match=r"step 8: .* in 4 of 8 steps") if step == 8 else nullcontext()
        with said:
            monitor.log(step, {**HEALTHY, "loss/skipped": float(step % 2 == 0)})
    assert "loss/skipped" in monitor._warned


def test_rare_skipped_updates_stop_nothing(tmp_path: Path) -> None:
    monitor = Monitor(load_config(["recipe=grpo_tiny", "steps=100"]), RunDir(tmp_path))
    with monitor.training(0):
        for step in range(1, 101):
            monitor.log(step, {**HEALTHY, "loss/skipped": float(step % 6 == 0)})


def test_what_is_no_number_is_past_every_threshold(monitor: Monitor) -> None:
    with monitor.training(0):
        monitor.log(1, {**HEALTHY, **{name: math.nan for name, *_ in WARNINGS if name != "loss/skipped"}})
        assert {name for name, *_ in WARNINGS} - {"loss/skipped"} <= monitor._warned
        monitor.log(2, {**HEALTHY, "mismatch/mean": math.nan, "loss/skipped": 1.0})  # said by the skip
        with pytest.raises(AlarmError, match=r"differ from the trainer's by nan"):
            monitor.log(3, {**HEALTHY, "mismatch/mean": math.nan})
