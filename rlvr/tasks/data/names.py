"""Which task names are paths of data, and what results of such a task are called. Imports nothing heavy."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlvr.tasks import TASKS

NAME = "data"
PLAIN = (".jsonl", ".json", ".csv", ".tsv")
SUFFIXES = (*PLAIN, *(f"{suffix}.gz" for suffix in PLAIN), ".parquet")
_RESULT = re.compile(r"[^/]*@[0-9a-f]{8}(/train)?")
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")
# What another data set shares with the one that is trained on: how problems are posed and graded.
POSING = frozenset({
    "template", "system", "thinking", "instruction", "few_shot", "answer_in", "verifier", "grader",
    "tolerance", "ignore_case", "test_seconds", "problem_seconds", "allow_unsafe", "bad_rows", "stop",
    "soundness",
})  # fmt: skip


def is_path(name: str) -> bool:
    """Whether a task's name is a path: of a data file, of a directory, or ORGANISATION/NAME on the hub.

    The names that results have, such as countdown:3/train or mine@0a1b2c3d/train, are none.
    """
    if name.partition(":")[0] in TASKS or _RESULT.fullmatch(name):
        return False
    return name.endswith(SUFFIXES) or os.sep in name


def spelled_out(choice: Mapping[str, Any]) -> dict[str, Any]:
    """The choice of a task with its path where `task.path` belongs, if its name is one."""
    name = choice.get("name")
    if not isinstance(name, str) or not is_path(name):
        return dict(choice)
    return {**choice, "name": NAME, "path": choice.get("path", name)}


def label_of(options: Mapping[str, Any]) -> str:
    """What the user calls the data: task.label, by default the file's stem."""
    return str(options.get("label") or stem(str(options.get("path", NAME))))


def stem(path: str) -> str:
    """mine for dir/mine.jsonl.gz; the name alone of a directory or a data set of the hub."""
    name = Path(path).name or Path(path).resolve().name
    suffix = next((s for s in sorted(SUFFIXES, key=len, reverse=True) if name.endswith(s)), "")
    return re.sub(r"[^\w.-]", "_", name.removesuffix(suffix)) or NAME
