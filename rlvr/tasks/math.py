"""Mathematics benchmarks from local JSONL files: {source or $RLVR_DATA}/[math/]<task>.jsonl."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from rlvr.tasks import Problem, Task, TaskError
from rlvr.tasks.templates import TemplateName, render
from rlvr.verifiers.math_exact import math_exact

Grader = Literal["exact"]

# For the cost of a recipe on a machine without the data.
PUBLISHED_TEST_PROBLEMS = {"omni_math_rule": 821, "math500": 500}


def omni_math_rule(
    source: str | None = None,
    template: TemplateName = "r1_zero",
    grader: Grader = "exact",
    train_problems: Annotated[int, Field(ge=1)] = 2000,
    split_seed: int = 0,
) -> Task:
    """Omni-MATH-Rule: 2,821 rows, by default 2,000 to train on and 821 to test.

    The study's own split is unpublished; this one is drawn by seed, rows of equal text on one side.
    """
    problems = _problems("omni_math_rule", source, template)
    train, test = split_by_text(problems, train_problems, split_seed)
    return Task("omni_math_rule", train, test, math_exact, template, grader)


def math500(source: str | None = None, template: TemplateName = "r1_zero", grader: Grader = "exact") -> Task:
    """MATH500: 500 problems to test, none to train on."""
    return Task("math500", [], _problems("math500", source, template), math_exact, template, grader)


def split_by_text(problems: list[Problem], train: int, seed: int) -> tuple[list[Problem], list[Problem]]:
    """A seeded split with `train` problems on the first side; equal prompts are never parted."""
    same: dict[str, list[Problem]] = {}
    for problem in problems:
        same.setdefault(problem.prompt, []).append(problem)
    clusters = list(same.values())
    random.Random(f"split/{seed}").shuffle(clusters)
    sides: tuple[list[Problem], list[Problem]] = ([], [])
    for cluster in clusters:
        sides[len(sides[0]) + len(cluster) > train].extend(cluster)
    return sides


def _problems(name: str, source: str | None, template: TemplateName) -> list[Problem]:
    path = _find(name, source)
    problems = []
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            row = json.loads(line)
            try:
                prompt, answer = render(template, row["problem"]), row["answer"]
            except KeyError as error:
                raise TaskError(f"{path}, row {number}: no column {error}") from None
            problems.append(Problem(_identity(row, number), prompt, answer))
    if not problems:
        raise TaskError(f"{path} is empty")
    return problems


def _identity(row: dict[str, Any], number: int) -> str:
    return str(row.get("unique_id", row.get("id", row.get("idx", number))))


def _find(name: str, source: str | None) -> Path:
    roots = [Path(root) for root in (source, os.environ.get("RLVR_DATA")) if root]
    places = [root / folder / f"{name}.jsonl" for root in roots for folder in ("", "math")]
    for place in places:
        if place.is_file():
            return place
    looked = ", ".join(map(str, places)) or "nowhere: neither is set"
    raise TaskError(
        f"task {name}: no file {name}.jsonl. Give its directory as task.source=DIR or in $RLVR_DATA "
        f"(looked at {looked})"
    )
