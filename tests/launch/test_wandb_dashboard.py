"""The comparison's workspace and report: no panel is empty, every axis can be chosen, a server takes them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from wandb_files import recorded
from wandb_server import WandbServer

pytest.importorskip("wandb_workspaces", reason="needs wandb-workspaces (make install-test)")

from launch import wandb_dashboard

GROUP = "countdown:3-embedded:countdown"
ARGUMENTS = ["--entity", "e", "--project", "p", "--group", GROUP, "--k", "16"]


def specification(capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    assert wandb_dashboard.main([*ARGUMENTS, *more, "--spec-only"]) == 0
    return json.loads(capsys.readouterr().out)


def panels(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The panels' configurations in a workspace or a report."""
    if "section" in spec:
        sections = spec["section"]["panelBankConfig"]["sections"]
        return [panel["config"] for section in sections for panel in section["panels"]]
    grids = [block["metadata"] for block in spec["blocks"] if block["type"] == "panel-grid"]
    return [panel["config"] for grid in grids for panel in grid["panelBankSectionConfig"]["panels"]]


def run_sets(spec: dict[str, Any]) -> list[dict[str, Any]]:
    if "section" in spec:
        return spec["section"]["runSets"]
    grids = [block["metadata"] for block in spec["blocks"] if block["type"] == "panel-grid"]
    return [runs for grid in grids for runs in grid["runSets"]]


@pytest.mark.parametrize("place", ["workspace", "report"])
def test_every_panel_shows_something_that_a_run_records(
    place: str, offline_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row for file in offline_run.glob("wandb/offline-run-*/*.wandb") for row in recorded(file).rows]
    names = {name for row in rows for name in row}
    shown = panels(specification(capsys)[place])
    assert len(shown) >= 12
    for panel in shown:
        assert panel["xAxis"] in names
        if pattern := panel.get("metricRegex"):
            assert any(re.search(pattern, name) for name in names), panel["chartTitle"]
        else:
            assert set(panel["metrics"]) <= names, panel["chartTitle"]


def test_the_gap_is_drawn_for_tasks_of_every_split(capsys: pytest.CaptureFixture[str]) -> None:
    (pattern,) = {
        panel["metricRegex"]
        for panel in panels(specification(capsys)["workspace"])
        if panel["chartTitle"] == "gap, every task"
    }
    for name in ("probe/countdown:3/gap", "probe/countdown:3/train/gap"):
        assert re.search(pattern, name)
    assert not re.search(pattern, "probe/gap")


def test_the_columns_are_numbers_of_a_runs_summary(
    offline_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = sorted(offline_run.glob("wandb/offline-run-*/*.wandb"))[-1]
    (runs,) = run_sets(specification(capsys)["workspace"])
    columns = {name.removeprefix("summary:") for name in runs["runFeed"]["columnPinned"]}
    assert columns - {"run:displayName"} <= recorded(file).summary.keys()


@pytest.mark.parametrize("place", ["workspace", "report"])
def test_the_groups_runs_are_averaged_by_algorithm_and_sorted_by_gap(
    place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for runs in run_sets(specification(capsys)[place]):
        (chosen,) = runs["filters"]["filters"]
        assert (chosen["key"], chosen["op"], chosen["value"]) == (
            {"section": "run", "name": "group"}, "=", GROUP
        )  # fmt: skip
        assert runs["grouping"] == [{"section": "config", "name": "algorithm.value.name"}]
        assert runs["sort"]["keys"] == [{"key": {"section": "summary", "name": "gap"}, "ascending": True}]


@pytest.mark.parametrize(("chosen", "metric"), wandb_dashboard.AXES.items())
def test_every_axis_can_be_chosen(chosen: str, metric: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = panels(specification(capsys, "--x", chosen)["workspace"])
    assert {panel["xAxis"] for panel in shown} == {metric}


def test_the_report_shows_the_gap_at_equal_steps_and_at_equal_samples(
    capsys: pytest.CaptureFixture[str],
) -> None:
    gaps = [p for p in panels(specification(capsys)["report"]) if "probe/gap" in p["metrics"]]
    assert [panel["xAxis"] for panel in gaps] == ["step", "total/samples"]


@pytest.mark.usefixtures("wandb_session")
def test_a_server_takes_both(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with WandbServer() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        assert wandb_dashboard.main(ARGUMENTS) == 0
        shown = capsys.readouterr().out
        assert f"workspace: {server.url}/e/p" in shown and f"report: {server.url}/e/p/reports" in shown
        sent = [[p["chartTitle"] for p in panels(spec)] for spec in server.views.values()]
    expected = specification(capsys)
    assert sent == [[p["chartTitle"] for p in panels(expected[place])] for place in ("workspace", "report")]


@pytest.mark.usefixtures("wandb_session")
def test_what_the_server_does_not_take_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    assert wandb_dashboard.main(ARGUMENTS) == 1
    assert "error: wandb did not take the dashboard: No API key" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--entity", "e"], [*ARGUMENTS, "--x", "hours"], [*ARGUMENTS, "--k", "x"]])
def test_wrong_arguments_have_status_2(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        wandb_dashboard.main(wrong)
    assert ended.value.code == 2


def test_it_runs_as_a_script_from_anywhere(tmp_path: Path) -> None:
    command = [sys.executable, wandb_dashboard.__file__, *ARGUMENTS, "--spec-only"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout).keys() == {"workspace", "report"}
