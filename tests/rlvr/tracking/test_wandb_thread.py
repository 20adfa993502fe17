"""The wandb mirror: what it writes offline is read back; a broken server changes nothing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wandb_files import Recorded, recorded, the_file
from wandb_server import WandbServer

from rlvr.config.schema import Config
from rlvr.core.run_dir import RunDir
from rlvr.hooks import Curves, HookReport, Table
from rlvr.planning.recipe import load_config
from rlvr.tracking.wandb_run import AXES
from rlvr.tracking.wandb_thread import WandbThread

NOTHING = HookReport()

pytestmark = pytest.mark.usefixtures("wandb_session")


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    (tmp_path / "run").mkdir()
    return RunDir(tmp_path / "run")


def config(mode: str, *more: str) -> Config:
    return load_config(["recipe=grpo_tiny", f"monitor.wandb={mode}", "monitor.wandb_timeout=4", *more])


def rows(first: int, last: int) -> list[dict[str, float]]:
    return [{"step": step, "rollout/reward": step / 8, "total/samples": 512 * step} for step in
            range(first, last + 1)]  # fmt: skip


def mirrored(settings: Config, run_dir: RunDir, logged: list[dict[str, float]]) -> str | None:
    """Logs the rows to a mirror of its own; what it says of failures."""
    mirror = WandbThread(settings, run_dir)
    for row in logged:
        mirror.log(row, NOTHING)
    return ended(mirror)


def ended(mirror: WandbThread) -> str | None:
    """Ends the mirror and wandb's process, which writes the files; what the mirror says of failures."""
    import wandb

    mirror.close()
    wandb.teardown()
    return mirror.failure


def own(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what wandb adds."""
    return {key: value for key, value in row.items() if not key.startswith("_")}


def sync(server: WandbServer, *arguments: Path | str) -> None:
    command = [sys.executable, "-m", "wandb", "sync", "--yes", *map(str, arguments)]
    environment = {**os.environ, "WANDB_BASE_URL": server.url, "WANDB_ERROR_REPORTING": "false"}
    cwd = environment["WANDB_CONFIG_DIR"]  # it writes a log where it is called
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def reported(run_dir: RunDir) -> Recorded:
    """Two rows, the second with all that a hook can report, recorded offline and read back."""
    counts = run_dir.path / "probes" / "step_000000" / "toy-1.parquet"
    counts.parent.mkdir(parents=True)
    counts.write_bytes(b"counts")
    (run_dir.path / "probe.jsonl").write_text("{}\n")
    report = HookReport(
        metrics={"probe/gap": 0.5},
        summary={"gap": 0.5, "coverage_lost": None},
        tables={"samples/toy-1": lambda: Table(("problem", "extracted"), [("a", "7"), ("b", None)])},
        curves={"pass_at_k/toy-1": Curves("pass@k", "log2 k", {"base": ([0, 1], [0.1, 0.4]),
                                                               "policy": ([0], [0.3])})},
        files=(run_dir.path / "probe.jsonl", counts),
    )  # fmt: skip
    mirror = WandbThread(config("offline"), run_dir)
    mirror.log({"step": 1, "rollout/reward": 0.25}, NOTHING)
    mirror.log({"step": 1, "total/samples": 512}, report)
    assert ended(mirror) is None
    return recorded(the_file(run_dir.path))


def test_rows_and_summary_are_recorded(reported: Recorded) -> None:
    first, second = reported.rows
    assert own(first) == {"step": 1, "rollout/reward": 0.25}
    assert (second["step"], second["total/samples"], second["probe/gap"]) == (1, 512, 0.5)
    assert [row["_step"] for row in reported.rows] == [0, 1]
    assert (reported.summary["gap"], reported.summary["coverage_lost"]) == (0.5, None)


def test_every_metric_is_drawn_over_the_step_and_the_other_axes_are_metrics(reported: Recorded) -> None:
    assert {axis: reported.axes[axis] for axis in AXES} == dict.fromkeys(AXES, "")
    assert reported.axes["*"] == "step"


def test_runs_of_one_task_and_model_share_a_group_and_are_told_apart_by_tags(
    reported: Recorded, tmp_path: Path
) -> None:
    run = reported.run
    assert (run.run_group, run.job_type, run.display_name) == (
        "countdown:3-embedded:countdown", "train", "run"
    )  # fmt: skip
    assert set(run.tags) == {"grpo", "countdown:3", "embedded:countdown", "hf"}
    assert reported.config["algorithm"]["name"] == "grpo"
    assert reported.config["optim"]["lr"] == 1e-4
    other = RunDir(tmp_path / "other")
    other.path.mkdir()
    settings = load_config(["recipe=rloo_tiny", "monitor.wandb=offline", "monitor.group=mine"])
    assert mirrored(settings, other, rows(1, 1)) is None
    run = recorded(the_file(other.path)).run
    assert run.run_group == "mine" and "rloo" in run.tags


def test_a_table_and_a_chart_have_their_contents(reported: Recorded, run_dir: RunDir) -> None:
    files = the_file(run_dir.path).parent / "files"
    row = reported.rows[1]
    table = json.loads((files / row["samples/toy-1.path"]).read_text())
    assert table["columns"] == ["problem", "extracted"]
    assert table["data"] == [["a", "7"], ["b", None]]
    chart = json.loads((files / row["pass_at_k/toy-1_table.path"]).read_text())
    assert chart["columns"] == ["step", "lineKey", "lineVal"]
    assert chart["data"] == [[0, "base", 0.1], [1, "base", 0.4], [0, "policy", 0.3]]


def test_the_measurements_are_an_artifact(reported: Recorded) -> None:
    (artifact,) = [a for a in reported.artifacts if a.type == "measurements"]
    assert artifact.name == f"measurements-{reported.run.run_id}"
    assert set(artifact.aliases) == {"latest", "step-1"}
    contents = {entry.path: entry.size for entry in artifact.manifest.contents}
    assert contents == {"probe.jsonl": 3, "probes/step_000000/toy-1.parquet": 6}


def test_a_resumed_run_goes_on_and_a_sync_gives_the_whole_curve(run_dir: RunDir) -> None:
    parts = [rows(1, 3), rows(3, 5)]  # the first part died after step 3, the last checkpoint was of step 2
    for part in parts:
        assert mirrored(config("offline"), run_dir, part) is None
    files = sorted(run_dir.path.glob("wandb/offline-run-*/*.wandb"))
    first, second = map(recorded, files)
    assert first.run.run_id == second.run.run_id
    with WandbServer() as server:
        sync(server, *(file.parent for file in files))
        assert [own(row) for row in server.rows] == parts[0] + parts[1]
        numbers = [row["_step"] for row in server.rows]
        assert numbers == sorted(set(numbers))
        assert server.upserted["groupName"] == "countdown:3-embedded:countdown"


def test_online_rows_arrive(run_dir: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    with WandbServer() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        assert mirrored(config("online"), run_dir, rows(1, 3)) is None
        assert mirrored(config("online"), run_dir, rows(4, 5)) is None
        assert [own(row) for row in server.rows] == rows(1, 5)
        assert not list(run_dir.path.glob("wandb/offline-run-*"))


@pytest.fixture(params=["refusing", "stalling", "no key"])
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, ...]]:
    """A server that cannot be used from the beginning, and what versions of wandb say of it."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if request.param == "stalling":
            listening.listen(64)  # connections are accepted, and nothing is ever answered
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{listening.getsockname()[1]}")
        if request.param == "no key":
            monkeypatch.delenv("WANDB_API_KEY")
        yield {
            "refusing": ("connection refused", "imed out"),
            "stalling": ("imed out",),
            "no key": ("no API key",),
        }[request.param]


def test_without_a_server_the_run_is_recorded_offline_and_can_be_sent_later(
    broken: tuple[str, ...], run_dir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure = mirrored(config("online", "monitor.wandb_timeout=1"), run_dir, rows(1, 4))
    file = the_file(run_dir.path)
    assert failure is not None and f"wandb sync {file.parent}" in failure
    assert any(said in failure for said in broken), failure
    assert [own(row) for row in recorded(file).rows] == rows(1, 4)
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    with WandbServer() as server:
        sync(server, file.parent)
        assert [own(row) for row in server.rows] == rows(1, 4)


def test_a_server_that_stalls_on_the_way_leaves_the_rest_to_a_sync(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    with WandbServer() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        mirror = WandbThread(config("online"), run_dir)
        mirror.log(*rows(1, 1), NOTHING)
        while not server.upserted:
            assert mirror.failure is None
        server.stall()
        for row in rows(2, 4):
            mirror.log(row, NOTHING)
        failure = ended(mirror)
    (directory,) = run_dir.path.glob("wandb/run-*")
    assert failure is not None and "not everything was sent" in failure
    assert f"wandb sync --include-online {directory}" in failure
    with WandbServer() as server:
        sync(server, "--include-online", directory)
        assert [own(row) for row in server.rows] == rows(1, 4)


def test_disabled_starts_nothing(run_dir: RunDir) -> None:
    assert mirrored(config("disabled"), run_dir, rows(1, 1)) is None
    assert list(run_dir.path.iterdir()) == []
