"""What a probe reports to dashboards: the numbers by hand, the choice of samples, missing values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evals.records.gap_record import GapRecord
from evals.records.probe_dir import ProbeDir
from evals.reports.dashboards import COLUMNS, curves, dashboard_report, some_samples, summary
from rlvr.graders import Status, StringVerifier
from rlvr.tasks import Problem, Task

PROBLEMS = [Problem(f"p{i}", f"question {i}", i) for i in range(20)]
TASK = Task("toy:2", [], PROBLEMS, StringVerifier(lambda text, known: (Status.WRONG, text), "toy-1"), "plain")

RECORD = GapRecord(
    step=50, task="toy:2", num_problems=20, n=4, base_n=4, ks=[1, 2, 4], pass_at_k=[0.4, 0.5, 0.55],
    base_pass_at_k=[0.2, 0.5, 0.8], gap_k=4, gap=0.4, gap_low=0.3, gap_high=0.5, pass_at_1_change=0.2,
    change_low=0.1, change_high=0.3, gained=1, lost=6, both=10, neither=3, truncated=0.0, unparsed=0.0,
    timed_out=0.0, duplicate_rate=0.5, samples_drawn=80, template="plain", sampling={}, grader="toy",
    policy_hash="a", base_hash="b", stop_r=None, samples=80, closed=0.2 / 0.6, coverage_k=4,
    coverage_lost=0.25, base_shares={}, data="d", gap_these_low=0.35, gap_these_high=0.45,
)  # fmt: skip
# The same with fewer samples of the policy than of the base.
FEWER = replace(RECORD, n=2, pass_at_k=[0.4, 0.5, None], coverage_k=2, coverage_lost=0.0)


def samples_of(path: Path, count: int) -> Path:
    rows = [
        {"problem": p.id, "index": i, "text": f"{p.id}/{i}", "tokens": 3, "logprob": -float(i),
         "finish_reason": "stop", "status": "wrong", "extracted": None if i % 2 else "7"}
        for p in PROBLEMS for i in range(count)
    ]  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_the_summary_has_names_to_sort_by_and_says_what_is_not_known() -> None:
    assert summary(RECORD) == {
        "gap": 0.4, "gap_low": 0.3, "gap_high": 0.5, "pass_at_1": 0.4, "pass_at_4": 0.55,
        "base_pass_at_4": 0.8, "closed": pytest.approx(0.2 / 0.6), "coverage_lost": 0.25,
    }  # fmt: skip
    assert all(name.replace("_", "").isalnum() for name in summary(RECORD))
    assert summary(FEWER)["pass_at_4"] is None


def test_what_is_not_known_is_not_drawn() -> None:
    assert RECORD.metrics()["pass@4"] == 0.55
    assert "pass@4" not in FEWER.metrics()
    assert curves(FEWER).lines == {
        "base": ([0.0, 1.0, 2.0], [0.2, 0.5, 0.8]), "policy": ([0.0, 1.0], [0.4, 0.5])
    }  # fmt: skip


def test_a_table_shows_some_samples_the_same_at_every_step(tmp_path: Path) -> None:
    first = some_samples(samples_of(tmp_path / "a.parquet", 4), TASK, count=30)
    again = some_samples(samples_of(tmp_path / "b.parquet", 4), TASK, count=30)
    assert first.columns == COLUMNS and first.rows == again.rows
    keys = [row[:2] for row in first.rows]
    assert len(set(keys)) == 30 and len({problem for problem, _ in keys}) > 10
    assert all(row[2:4] == (f"question {row[0][1:]}", f"{row[0]}/{row[1]}") for row in first.rows)


def test_a_small_probe_is_shown_whole(tmp_path: Path) -> None:
    assert len(some_samples(samples_of(tmp_path / "a.parquet", 2), TASK).rows) == 40


def test_a_report_has_the_first_task_without_its_name_and_the_counts_up_to_its_step(tmp_path: Path) -> None:
    run_dir = ProbeDir(tmp_path)
    for step in (0, 50, 100):  # 100: of a part of the run that a resume cut off
        samples_of(run_dir.probes / f"step_{step:06d}" / "toy-2.samples.parquet", 4)
        (run_dir.probes / f"step_{step:06d}" / "toy-2.parquet").write_bytes(b"")
    report = dashboard_report([RECORD], [TASK], run_dir)
    assert report.metrics["probe/gap"] == report.metrics["probe/toy:2/gap"] == 0.4
    assert report.files == (
        run_dir.probe, *(run_dir.probes / f"step_{step:06d}" / "toy-2.parquet" for step in (0, 50))
    )  # fmt: skip
    assert len(report.tables["samples/toy-2"]().rows) == 64
    assert report.curves.keys() == {"pass_at_k/toy-2"}
