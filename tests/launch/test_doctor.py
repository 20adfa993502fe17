"""The doctor as a command."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from forked import finished

from launch import preflight

ROOT = Path(__file__).resolve().parents[2]


def test_a_wrong_recipe_is_a_fault() -> None:
    assert preflight.read_recipe(["recipe=grpo_tiny"], 1)[1].state == "ok"
    read, finding = preflight.read_recipe(["recipe=grpo_tin"], 1)
    assert read is None and finding.state == "fault" and "did you mean grpo_tiny?" in finding.found


def doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as a process, from the root of the checkout."""
    return finished(["-m", "launch.preflight", *arguments], ROOT, os.environ | environment)


def test_the_command(tmp_path: Path) -> None:
    alone = doctor()
    assert alone.returncode == 0, alone.stdout + alone.stderr
    checked = [line.split()[1:2] for line in alone.stdout.splitlines()]
    assert "0 fault(s)" in alone.stdout and ["model"] not in checked
    tiny = doctor("recipe=grpo_tiny", f"run_dir={tmp_path}", "monitor.wandb=online")
    assert tiny.returncode == 0, tiny.stdout + tiny.stderr
    for check in (
        "python",
        "versions",
        "gpus",
        "disk",
        "embedded:countdown",
        "countdown:4",
        "sandbox",
        "wandb",
    ):
        assert check in tiny.stdout, check
    wrong = doctor("recipe=grpo_tiny", "model=nobody/nothing", HF_HUB_OFFLINE="1")
    assert wrong.returncode == 1
    assert "HF_HUB_OFFLINE is set" in wrong.stdout and "hf download nobody/nothing" in wrong.stdout
