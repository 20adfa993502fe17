"""docs/own-data.md, run from the page: its files, and each of its commands in order."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from forked import finished
from pages import ROOT, blocks

PAGE = ROOT / "docs" / "own-data.md"


def write_files(directory: Path) -> None:
    """The page's Python files and its recipe."""
    for block in blocks(PAGE, "python"):
        (directory / block.partition("\n")[0].removeprefix("# ")).write_text(block)
    (recipe,) = blocks(PAGE, "yaml")
    (directory / "own.yaml").write_text(recipe)


def commands() -> list[list[str]]:
    lines = [line for block in blocks(PAGE) for line in block.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith(("python ", "rlvr "))]


def test_the_rows_are_shown_as_the_page_says(tmp_path: Path) -> None:
    write_files(tmp_path)
    assert finished(["make_rows.py"], tmp_path).returncode == 0
    done = finished(["-m", "launch.cli", *commands()[1][1:]], tmp_path)
    assert done.returncode == 0, done.stderr
    shown = next(line for line in PAGE.read_text().splitlines() if line.startswith("sums@"))
    assert shown in done.stdout and done.stdout.count(": correct, read") == 5
    (tmp_path / "sums.csv").write_text("question,answer\n" + "a,1\n" * 3 + "b,\n")
    refused = finished(["-m", "launch.cli", "data", "sums.csv"], tmp_path)
    assert refused.returncode == 2 and "sums.csv, row 3: column 'answer' is empty. Rows" in refused.stderr


@pytest.mark.slow
def test_every_command_of_the_page_runs(tmp_path: Path) -> None:
    write_files(tmp_path)
    ran = []
    for name, *arguments in commands():
        program = arguments if name == "python" else ["-m", "launch.cli", *arguments]
        done = finished(program, tmp_path, timeout=300)
        assert done.returncode == 0, f"{name} {arguments}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        ran.append((arguments, done.stdout))
    assert len(ran) == 9
    plan = next(out for arguments, out in ran if "--dry-run" in arguments)
    assert "columns guessed: problem = question" in plan and "sums: 20 problems x 48 samples" in plan
    run = tmp_path / "runs" / "own-s0"
    steps = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert len(steps) == 10 and "reward/digits" in steps[0]
    assert (
        steps[-1]["reward/digits"] > steps[0]["reward/digits"]
    )  # it learns what the user's function pays for
    records = [json.loads(line) for line in (run / "probe.jsonl").read_text().splitlines()]
    assert {record["task"] for record in records} == {"sums@695940f4"}
    assert all(record["template"].startswith("chat-") for record in records)
    assert "sums@695940f4" in (tmp_path / "report" / "index.html").read_text()
    assert "sums@695940f4" in (tmp_path / "pair" / "probe.jsonl").read_text()
