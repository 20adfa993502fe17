"""Configurations of former versions in the present form."""

from __future__ import annotations

from typing import Any

from rlvr.algorithms import ALGORITHMS
from rlvr.config import registry
from rlvr.tasks import TASKS


def upgraded(data: dict[str, Any]) -> dict[str, Any]:
    """A run's configuration in the present form: a preset of algorithms is the algorithm's name, and keys
    that the task has got since have their defaults."""
    algorithm = dict(data.get("algorithm", {}))
    preset = algorithm.pop("preset", None)
    if preset == "paper_era_verl" and f"{algorithm['name']}_verl" in ALGORITHMS:
        algorithm["name"] += "_verl"
    return {**_upgraded_tasks(data), "algorithm": algorithm}


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
    return new | task
