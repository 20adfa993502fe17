"""Configurations of earlier versions in the present form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlvr.algorithms import ALGORITHMS
from rlvr.config import registry
from rlvr.config.keys import merged
from rlvr.tasks import TASKS
from rlvr.tasks.templates import STOPS

# Defaults that keys of tasks had before there were such keys, where they have others now.
FORMERLY = {"split_by": "text"}


def upgraded(data: dict[str, Any]) -> dict[str, Any]:
    """A run's configuration in the present form: a preset of algorithms is the algorithm's name, keys that
    its algorithm and tasks have got since have their defaults, and a run of before there were stop strings
    had none, whatever its template brings now."""
    algorithm = dict(data.get("algorithm", {}))
    preset = algorithm.pop("preset", None)
    if preset == "paper_era_verl" and f"{algorithm['name']}_verl" in ALGORITHMS:
        algorithm["name"] += "_verl"
    if algorithm.get("name") in ALGORITHMS:
        algorithm = merged(registry.defaults(ALGORITHMS, algorithm["name"]), algorithm)
    made = {**_upgraded_tasks(data), "algorithm": algorithm}
    for name in ("rollouts", "probe"):
        if "stop" not in (section := data.get(name, {})):
            made[name] = {**made.get(name, section), "stop": [] if _brings_stops(data) else None}
    return made


def _upgraded_tasks(data: dict[str, Any]) -> dict[str, Any]:
    """With the defaults of keys that built-in tasks have got since, wherever a task is named."""
    made = dict(data)
    for key, value in data.items():
        if key == "task" and isinstance(value, dict):
            made[key] = _upgraded_task(value)
        elif key in ("tasks", "stages") and isinstance(value, list):
            made[key] = [_upgraded_task(one) if isinstance(one, dict) else one for one in value]
        elif isinstance(value, dict):
            made[key] = _upgraded_tasks(value)
    return made


def _upgraded_task(task: dict[str, Any]) -> dict[str, Any]:
    """A task, or a stage of a mixture's."""
    task, name = _upgraded_tasks(task), task.get("name", "")
    if registry.family(name) not in TASKS:
        return task
    new = {key: value for key, value in registry.defaults(TASKS, name).items() if key != "variant"}
    former = {key: value for key, value in FORMERLY.items() if key in new}
    return new | former | task


def _brings_stops(data: Mapping[str, Any]) -> bool:
    """Whether a task of the run, trained or probed, has a template with stop strings."""
    probed = data.get("probe", {}).get("tasks", ())
    tasks = [data.get("task", {}), *probed, *trained_tasks(data.get("task"))]
    return any(task.get("template") in STOPS for task in tasks if isinstance(task, Mapping))


def trained_tasks(task: Any) -> list[dict[str, Any]]:
    """The tasks that problems are trained on: itself, or those of a mixture."""
    if not isinstance(task, dict) or task.get("name") != "mixture":
        return [task] if isinstance(task, dict) else []
    stages = task.get("stages")
    lists = [task.get("tasks"), *(s.get("tasks") for s in stages or () if isinstance(s, dict))]
    return [entry for entries in lists for entry in entries or () if isinstance(entry, dict)]
