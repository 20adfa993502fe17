"""What grading, counting and comparing need: not torch, nor anything else that only training needs."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from run_directories import write_run
from stored_files import write_jsonl

from rlvr.core.errors import TRAINING_PACKAGES

ROOT = Path(__file__).resolve().parents[2]
# Imports fail as in an environment in which they were never installed.
WITHOUT = f"""import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {TRAINING_PACKAGES!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Without())
sys.path.insert(0, {str(ROOT)!r})
"""
RUN = "from launch.cli import main\nfor given in {commands!r}:\n    assert main(given) == {status}, given\n"


def run(folder: Path, commands: list[list[str]], status: int) -> str:
    """What the commands say, one after the other in one process that has none of the packages."""
    code = WITHOUT + RUN.format(commands=commands, status=status)
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_extra_says_what_is_looked_for() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {Requirement(text).name for text in extras["train"]} == set(TRAINING_PACKAGES)
    assert extras["eval"] == []


def test_stored_measurements_are_read_compared_and_drawn(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "recipe=grpo_tiny")
    counts, base = "a/probes/step_000004/countdown-3.parquet", "a/probes/base/countdown-3.parquet"
    said = run(
        tmp_path,
        [
            ["eval", "passk", counts, f"base={base}"],
            ["eval", "compare", "a", "out=report"],
            ["eval", "curves", counts, base, "out=curves.png"],
            ["eval", "store"],
        ],
        status=0,
    )
    assert "6 problems" in said
    assert (tmp_path / "report" / "index.html").is_file()
    assert (tmp_path / "curves.png").is_file()


def test_completions_are_graded(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "amc23.jsonl", [{"id": 7, "problem": "1+1", "answer": 2.0}])
    write_jsonl(tmp_path / "in.jsonl", [{"id": 7, "completion": rf"\boxed{{{n}}}"} for n in (2, 3)])
    task = ["task=amc23", "task.source=.", "task.template=qwen_boxed"]
    run(tmp_path, [["eval", "grade", *task, "samples=in.jsonl", "out=out.jsonl"]], status=0)
    graded = [json.loads(line)["verdict"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert graded == ["correct", "wrong"]


@pytest.mark.parametrize(
    "command",
    [
        ["train", "recipe=grpo_tiny"],
        ["doctor", "recipe=grpo_tiny"],
        ["eval", "probe", "model=a", "base=b", "task=countdown:3", "out=c"],
        ["eval", "power", "model=a", "task=countdown:3", "out=c"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_what_needs_more_says_how_to_get_it(command: list[str], tmp_path: Path) -> None:
    said = run(tmp_path, [command], status=1)
    assert "which is not installed: pip install 'rlvr[train]'" in said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())
