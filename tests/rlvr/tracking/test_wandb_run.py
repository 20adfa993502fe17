"""What a whole run leaves with wandb, and that no state of its server changes the run."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forked import Forked
from wandb_files import Recorded, recorded, the_file

from evals.records.files import SAMPLES
from evals.records.samples import read_samples
from rlvr.core.run_dir import read_jsonl
from rlvr.tracking.wandb_run import AXES

Train = Callable[..., Forked]


@pytest.fixture(scope="module")
def parts(offline_run: Path) -> list[Recorded]:
    """The run's two parts, read back."""
    return [recorded(file) for file in sorted(offline_run.glob("wandb/offline-run-*/*.wandb"))]


def training_rows(parts: list[Recorded]) -> list[dict[str, Any]]:
    rows = [row for part in parts for row in part.rows if "loss/total" in row]
    return [{k: v for k, v in row.items() if not k.startswith(("_", "samples/rollouts."))} for row in rows]


def probe_rows(parts: list[Recorded]) -> dict[int, dict[str, Any]]:
    """By step; the newest where a resume reported one again."""
    return {row["step"]: row for part in parts for row in part.rows if "probe/gap" in row}


def content(run: Path, row: dict[str, Any], key: str) -> dict[str, Any]:
    """A table that a row refers to."""
    (file,) = run.glob(f"wandb/offline-run-*/files/{row[f'{key}.path']}")
    return json.loads(file.read_text())


def test_the_resumed_run_is_one_wandb_run_with_every_row_of_the_metrics_file(
    offline_run: Path, parts: list[Recorded]
) -> None:
    assert len(parts) == 2 and len({part.run.run_id for part in parts}) == 1
    assert training_rows(parts) == read_jsonl(offline_run / "metrics.jsonl")
    numbers = [row["_step"] for part in parts for row in part.rows]
    assert numbers == sorted(set(numbers))


def test_the_gap_can_be_drawn_over_every_axis(offline_run: Path, parts: list[Recorded]) -> None:
    probes = probe_rows(parts)
    steps = {row["step"]: row for row in read_jsonl(offline_run / "metrics.jsonl")}
    records = {r["step"]: r for r in read_jsonl(offline_run / "probe.jsonl") if r["task"] == "countdown:3"}
    assert sorted(probes) == sorted(records) == [0, 2, 4]
    for step, row in probes.items():
        assert row["probe/gap"] == records[step]["gap"]
        assert row["probe/countdown:3/gap_low"] == records[step]["gap_low"]
        used = {axis: row[axis] for axis in AXES}
        assert used == ({axis: steps[step][axis] for axis in AXES} if step else dict.fromkeys(AXES, 0))


def test_samples_can_be_read_beside_their_verdicts(
    offline_run: Path, parts: list[Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLVR_STORE", str(offline_run.parent / "store"))
    table = content(offline_run, probe_rows(parts)[4], "samples/countdown-3")
    shown = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    file = offline_run / "probes/step_000004/countdown-3.samples.parquet"
    samples = read_samples(file, SAMPLES.names).to_pylist()
    by_key = {(row["problem"], row["index"]): row for row in samples}
    assert len(samples) == 96 and len(shown) == 64
    for row in shown:
        sample = by_key[row["problem"], row["index"]]
        assert (row["completion"], row["verdict"], row["extracted"], row["logprob"]) == (
            sample["text"], sample["status"], sample["extracted"], pytest.approx(sample["logprob"])
        )  # fmt: skip
        assert "make" in row["prompt"]


def test_rollouts_can_be_read_beside_how_far_engine_and_trainer_are_apart(
    offline_run: Path, parts: list[Recorded]
) -> None:
    rows = [row for part in parts for row in part.rows if "samples/rollouts.path" in row]
    assert [row["step"] for row in rows] == [2, 4]
    for row in rows:
        table = content(offline_run, row, "samples/rollouts")
        shown = [dict(zip(table["columns"], values, strict=True)) for values in table["data"]]
        assert len(shown) == 64
        assert all(each["problem"] and "make" in each["prompt"] for each in shown)
        assert {each["reward"] > 0 for each in shown} == {True, False}
        assert {each["verdict"] == "correct" for each in shown if each["reward"] >= 1} == {True}
        # The 64 are the whole batch here.
        apart = [each["logprob_difference"] for each in shown]
        weights = [each["tokens"] for each in shown]
        mean = sum(a * w for a, w in zip(apart, weights, strict=True)) / sum(weights)
        assert mean == pytest.approx(row["mismatch/mean"], rel=1e-3)


@pytest.mark.usefixtures("base")
def test_what_is_shown_changes_nothing_of_what_is_trained(
    offline_run: Path, train: Train, tmp_path: Path
) -> None:
    process = train(
        "recipe=grpo_tiny", "steps=2", "save_every=2", "rollouts.prompts=8", "rollouts.max_new_tokens=48",
        "probe.tasks=[]", "run_dir=run",
    )  # fmt: skip
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors

    def numbers(run: Path) -> list[dict[str, Any]]:
        rows = read_jsonl(run / "metrics.jsonl")[:2]
        return [{k: v for k, v in row.items() if "time/" not in k and "seconds" not in k} for row in rows]

    assert numbers(tmp_path / "run") == numbers(offline_run)


def test_the_curves_of_base_and_policy_are_a_chart(offline_run: Path, parts: list[Recorded]) -> None:
    (record,) = [
        r for r in read_jsonl(offline_run / "probe.jsonl") if (r["step"], r["task"]) == (4, "countdown:4")
    ]
    chart = content(offline_run, probe_rows(parts)[4], "pass_at_k/countdown-4_table")
    sides = {
        "base": record["base_pass_at_k"],
        "policy": record["pass_at_k"],
        "base, sound": record["sound"]["base_pass_at_k"],
        "policy, sound": record["sound"]["pass_at_k"],
    }
    expected = [[power, side, value] for side, values in sides.items() for power, value in enumerate(values)]
    assert record["ks"] == [1, 2, 4, 8, 16]
    assert chart["data"] == expected


def test_a_hook_of_ones_own_is_shown_too(offline_run: Path, parts: list[Recorded]) -> None:
    rows = [row for row in parts[1].rows if "notes.path" in row]
    assert [content(offline_run, row, "notes")["data"] for row in rows] == [[[2]], [[4]]]


def test_the_newest_artifact_has_the_counts_of_every_probe(offline_run: Path, parts: list[Recorded]) -> None:
    newest = [a for a in parts[1].artifacts if a.type == "measurements"][-1]
    counts = {f"probes/step_{step:06d}/{task}.parquet" for step in (0, 2, 4) for task in
              ("countdown-3", "countdown-4")}  # fmt: skip
    assert {entry.path for entry in newest.manifest.contents} == {"probe.jsonl", *counts}
    assert "step-4" in newest.aliases


def test_the_summary_sorts_runs_by_their_gap(offline_run: Path, parts: list[Recorded]) -> None:
    last = [r for r in read_jsonl(offline_run / "probe.jsonl") if r["task"] == "countdown:3"][-1]
    summary = parts[1].summary
    assert (summary["gap"], summary["pass_at_1"], summary["pass_at_16"]) == (
        last["gap"], last["pass_at_k"][0], last["pass_at_k"][-1]
    )  # fmt: skip
    assert summary["coverage_lost"] == pytest.approx(last["coverage_lost"])
    room = last["base_pass_at_k"][-1] - last["base_pass_at_k"][0]
    assert summary["closed"] == pytest.approx(last["pass_at_1_change"] / room)


@pytest.mark.slow
@pytest.mark.usefixtures("wandb_session", "base")
@pytest.mark.parametrize("state", ["refusing", "stalling"])
def test_a_server_in_any_state_lets_the_run_finish(state: str, train: Train, tmp_path: Path) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if state == "stalling":
            listening.listen(64)  # connections are accepted, and nothing is ever answered
        process = train(
            "recipe=grpo_tiny", "steps=3", "save_every=3", "rollouts.prompts=8", "run_dir=run",
            "probe.tasks=[]", "monitor.wandb=online", "monitor.wandb_timeout=5",
            WANDB_BASE_URL=f"http://127.0.0.1:{listening.getsockname()[1]}",
        )  # fmt: skip
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "finished: 3 steps" in errors and "The run is recorded offline" in " ".join(errors.split())
    metrics = read_jsonl(tmp_path / "run/metrics.jsonl")
    assert [row["step"] for row in metrics] == [1, 2, 3]
    assert training_rows([recorded(the_file(tmp_path / "run"))]) == metrics
