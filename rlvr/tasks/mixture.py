"""Mixtures: training problems of several tasks by weight, the same throughout or stage by stage.

A curriculum such as AceReason's (arXiv 2505.16400), mathematics before code, is two stages of one task.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, Field

from rlvr.config.schema import Choice, Positive, Section
from rlvr.graders.mixture import MixtureVerifier
from rlvr.graders.soundness import MixtureChecker
from rlvr.tasks import Share, Stage, Task, TaskError, build_task


class WeightedTask(Choice):
    """A task with its keys, with its sampling weight: `weight` of its problems for so many of the others."""

    weight: Positive = 1


class StageSettings(Section):
    """What is drawn from up to and with training step `until`; without it, to the end."""

    tasks: Annotated[tuple[WeightedTask, ...], Field(min_length=1)]
    until: Positive | None = None


def _in_order(stages: tuple[StageSettings, ...]) -> tuple[StageSettings, ...]:
    ends = [stage.until for stage in stages]
    last = ends.pop() if ends else None
    known = [end for end in ends if end is not None]
    if last is not None or len(known) < len(ends) or any(a >= b for a, b in pairwise(known)):
        raise ValueError("each stage but the last has `until`, a later step each time; the last has none")
    return stages


def mixture(
    tasks: tuple[WeightedTask, ...] = (),
    stages: Annotated[tuple[StageSettings, ...], AfterValidator(_in_order)] = (),
) -> Task:
    """Training problems of several tasks. Give `tasks`, or `stages` that each have theirs.

    A task that stands in several stages with the same keys is built once. Raises TaskError.
    """
    if bool(tasks) == bool(stages):
        raise TaskError("task mixture: give task.tasks, or task.stages, and not both")
    built: dict[str, Task] = {}
    made = tuple(
        Stage(stage.until, tuple(Share(_built(entry, built), entry.weight) for entry in stage.tasks))
        for stage in stages or (StageSettings(tasks=tasks),)
    )
    parts = built.values()
    checkers = {part.name: part.checker for part in parts if part.checker is not None}
    return Task(
        name="mixture",
        train=(),
        test=(),
        verifier=MixtureVerifier({part.name: part.verifier for part in parts}),
        template=_joined(part.template for part in parts),
        skipped=sum(part.skipped for part in parts),
        stages=made,
        checker=MixtureChecker(checkers) if checkers else None,
    )


def _built(entry: WeightedTask, built: dict[str, Task]) -> Task:
    """The task of an entry, from `built` if it is there; each has a name of its own."""
    key = json.dumps([entry.name, entry.options], sort_keys=True)
    if key not in built:
        task = build_task(entry.name, **entry.options)
        if not len(task.train):
            raise TaskError(f"task mixture: {task.name} has no training problems; it can only be probed")
        same = sum(other.name.partition("#")[0] == task.name for other in built.values())
        built[key] = replace(task, name=f"{task.name}#{same + 1}") if same else task
    return built[key]


def _joined(names: Iterable[str]) -> str:
    return "+".join(sorted(set(names)))
