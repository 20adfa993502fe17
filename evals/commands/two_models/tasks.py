"""One task or several on the command line: task=countdown:3, task=countdown:3,gsm8k, task='[a,b]'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rlvr.config import registry
from rlvr.config.errors import Mistake
from rlvr.config.registry import PluginError
from rlvr.planning.recipe import complete_choice
from rlvr.tasks import TASKS
from rlvr.tasks.data.names import NAME as DATA
from rlvr.tasks.data.names import spelled_out


def complete_tasks(given: dict[str, Any], mistakes: list[Mistake]) -> None:
    """Makes a list of completed tasks of `task`, in place. Of several each takes the keys that it has.

    What is wrong goes to the mistakes.
    """
    task = given.get("task")
    if not isinstance(task, dict) or "name" not in task:
        return
    options = {key: value for key, value in task.items() if key != "name"}
    written = options.get("path") if task["name"] == DATA else task["name"]
    names = _names(written)
    if len(names) > 1 and task["name"] == DATA:
        options.pop("path")
    choices = [{**options, "name": task["name"]}] if len(names) < 2 else _several(names, options, mistakes)
    given["task"] = [complete_choice(choice, "task", TASKS, mistakes) for choice in choices]
    labels = [str(choice.get("path", choice["name"])) for choice in choices]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        mistakes.append(
            Mistake("task", ", ".join(twice), "give each task once: its files are named after it")
        )


def _names(written: Any) -> list[str]:
    if isinstance(written, (list, tuple)):
        return [str(name) for name in written]
    text = str(written)
    return [text] if "," not in text or Path(text).exists() else [name for name in text.split(",") if name]


def _several(names: list[str], options: dict[str, Any], mistakes: list[Mistake]) -> list[dict[str, Any]]:
    found = []
    taken: set[str] = set()
    for name in names:
        choice = spelled_out({"name": name})
        try:
            known = registry.schema(TASKS, choice["name"]).model_fields.keys()
        except (KeyError, PluginError):  # which `complete_choice` reports
            known = options.keys()
        own = {key: value for key, value in options.items() if key in known}
        taken |= own.keys()
        found.append(own | choice)
    mistakes += [
        Mistake(f"task.{key}", value, f"none of {', '.join(names)} has this key")
        for key, value in options.items()
        if key not in taken
    ]
    return found
