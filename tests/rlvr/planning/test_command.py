"""The training command before it trains: exit status, --dry-run, --help."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlvr.algorithms import ALGORITHMS
from rlvr.planning.recipe import recipe_names
from rlvr.tasks import TASKS

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("arguments", [["recipe=grpo_tin"], ["recipe=grpo_tiny", "optim.lr=x"]])
def test_the_command_exits_with_2_before_anything_heavy(arguments: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", str(ROOT / "rlvr" / "train.py"), *arguments]
    begun = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert "in the configuration" in done.stderr
    assert " torch" not in done.stderr
    assert time.monotonic() - begun < 30  # a hang guard; what counts is that torch stays out
    assert list(tmp_path.iterdir()) == []


def test_dry_run_needs_neither_weights_nor_data(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "rlvr" / "train.py"), "recipe=grpo_qwen7b", "--dry-run"]
    environment = {"PATH": "", "HF_HUB_OFFLINE": "1", "WORLD_SIZE": "8"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert "256 prompts x 8 completions = 2,048 a step" in done.stdout
    assert "821 problems x 288 samples" in done.stdout
    assert "42,272 samples of the policy are 12% of what the run draws" in done.stdout
    assert "with them 55%, or 24% where 6 runs share them" in done.stdout
    assert "7,615,616,512 parameters" in done.stdout  # as counted in the published weights
    assert list(tmp_path.iterdir()) == []


def test_dry_run_counts_problems_as_published(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from rlvr.train import main

    monkeypatch.delenv("RLVR_DATA", raising=False)
    tasks = [
        "probe.tasks=[humaneval_plus, math500, {name: omni_math_rule, split: train}]",
        "probe.max_problems=null",
    ]
    assert main(["recipe=grpo_tiny", *tasks, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "humaneval_plus: 164 problems" in said and "math500: 500 problems" in said
    assert "omni_math_rule/train: 2,000 problems" in said


def test_help_lists_everything_that_can_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    from rlvr.train import main

    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    words = set(re.split(r"[\s,:]+", said))
    assert {*recipe_names(), *ALGORITHMS, *TASKS} <= words
    lines = [line.split() for line in said.splitlines()]
    assert ["optim.lr", "float", "=", "1e-06"] in lines and ["steps", "int"] in lines
    assert ["algorithm.kl.estimator", "k1", "|", "k2", "|", "k3"] in lines
    # A builder's own default, not that of the section's class.
    assert re.search(r"^dapo: clip.low=0.2 clip.high=0.28 ", said, re.MULTILINE)
    assert re.search(r"^math500, olympiadbench, .*: source=none template=r1_zero ", said, re.MULTILINE)
