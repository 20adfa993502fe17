"""What to know before comparing: in what the runs differ beyond the algorithm, and what is amiss."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

from evals.compare.arms import Study
from evals.compare.loading import Run, Side


class Flag(NamedTuple):
    """text: what differs, or what is amiss. values: each value with the runs that have it. why: what
    follows for the reader."""

    text: str
    values: list[tuple[str, str]]
    why: str


class Aspect(NamedTuple):
    """Something that fair runs have in common. of: its value in a run, as it is shown."""

    name: str
    of: Callable[[Run], str]
    why: str


class TaskAspect(NamedTuple):
    """The same of a task; of: is given base and policy."""

    name: str
    of: Callable[[Side, Side], str]
    why: str


NOT_PAIRED = "Their figures there are not comparable; no differences are computed."
OTHER_BASE = "Gaps to different bases are not comparable."
BUDGET = "One run could train on more than another."

ASPECTS = [
    Aspect("base model", lambda run: run.config.base_model, OTHER_BASE),
    Aspect("tasks probed", lambda run: ", ".join(run.tasks), "Some cells are empty."),
    Aspect("training task", lambda run: _options(run.config.task.model_dump()), "They learned other things."),
    Aspect("steps", lambda run: str(run.config.steps), BUDGET),
    Aspect("step of the figures", lambda run: str(run.step), BUDGET),
    Aspect("prompts per step", lambda run: str(run.config.rollouts.prompts), BUDGET),
    Aspect("group size", lambda run: str(run.config.rollouts.group_size), BUDGET),
    Aspect("token limit in training", lambda run: str(run.config.rollouts.max_new_tokens), BUDGET),
    Aspect("code revision", lambda run: str(run.card.get("git")), "The program itself may have changed."),
]
TASK_ASPECTS = [
    TaskAspect("weights of the base", lambda b, p: b.origin.weights, OTHER_BASE),
    TaskAspect("problems", lambda b, p: f"{len(p.problems)} problems, data {p.conditions.data}", NOT_PAIRED),
    TaskAspect("template", lambda b, p: p.conditions.template, NOT_PAIRED),
    TaskAspect("sampling", lambda b, p: _sampling(p), NOT_PAIRED),
    TaskAspect("grader", lambda b, p: p.conditions.grader, NOT_PAIRED),
    TaskAspect("samples a problem", lambda b, p: _size(p), "Where n is below K, pass@K is not estimated."),
    TaskAspect("samples of the base", lambda b, p: _size(b), "Where n is below K, there is no gap."),
    TaskAspect("probe engine", lambda b, p: f"{p.origin.engine}, {p.origin.dtype}", "Rounding differs."),
]  # fmt: skip


def flags(study: Study) -> list[Flag]:
    """In the order of their weight: what is unfinished, then what was measured, then what was trained."""
    found = [*_unfinished(study), *_twins(study)]
    for aspect in TASK_ASPECTS:
        found += _on_tasks(study, aspect)
    for task in study.tasks:
        found += _bases(study, task)
    for whole in ASPECTS:
        values = {run: whole.of(run) for run in study.runs}
        if len(set(values.values())) > 1:
            found.append(Flag(f"Different {whole.name}", _grouped(study, values), whole.why))
    return found


def _on_tasks(study: Study, aspect: TaskAspect) -> list[Flag]:
    """One for all tasks on which the runs differ in the same way."""
    tasks: dict[tuple[tuple[str, str], ...], list[str]] = defaultdict(list)
    for task in study.tasks:
        runs = [run for run in study.runs if task in run.tasks]
        values = {run: aspect.of(run.tasks[task].base, run.policy(task)) for run in runs}
        if len(set(values.values())) > 1:
            tasks[tuple(_grouped(study, values))].append(task)
    return [
        Flag(f"Different {aspect.name} on {' and '.join(own)}", list(values), aspect.why)
        for values, own in tasks.items()
    ]


def _grouped(study: Study, values: dict[Run, str]) -> list[tuple[str, str]]:
    """Each value with the names of the runs that have it."""
    runs: dict[str, list[str]] = defaultdict(list)
    for run, value in values.items():
        runs[value].append(study.name(run))
    return [(value, ", ".join(names)) for value, names in runs.items()]


def _unfinished(study: Study) -> list[Flag]:
    return [
        Flag(
            f"{study.name(run)} is unfinished",
            [(f"{run.trained} of {run.config.steps} steps trained", f"figures of step {run.step}")],
            "It may still change. The same launch command goes on with it.",
        )
        for run in study.runs
        if not run.finished
    ]


def _twins(study: Study) -> list[Flag]:
    """Runs that are not independent: they stand in one mean as if they were two seeds."""
    found: dict[tuple[str, int], list[Run]] = defaultdict(list)
    for arm in study.arms:
        for run in arm.runs:
            found[arm.label, run.seed].append(run)
    return [
        Flag(
            f"{label} has seed {seed} {len(runs)} times",
            [(str(run.path), study.name(run)) for run in runs],
            "Runs of one configuration and one seed are not independent.",
        )
        for (label, seed), runs in found.items()
        if len(runs) > 1
    ]


def _bases(study: Study, task: str) -> list[Flag]:
    """The same base that was sampled more than once."""
    bases = study.bases(task)
    if len({(base.posed, base.origin.weights, _size(base)) for base in bases}) == len(bases):
        return []
    rows = [(f"sample {i}", ", ".join(arm.label for arm in arms)) for i, arms in enumerate(bases.values(), 1)]
    why = "Their gaps differ by chance on the base's side too. A common RLVR_STORE shares the base's samples."
    return [Flag(f"The base was sampled {len(bases)} times on {task}", rows, why)]


def _sampling(side: Side) -> str:
    c = side.conditions
    return f"temperature {c.temperature:g}, top-p {c.top_p:g}, at most {c.max_new_tokens} tokens"


def _size(side: Side) -> str:
    stop = f", to success {side.counts.stop_r}" if side.counts.stop_r else ""
    return f"{side.counts.n_max}{stop}"


def _options(choice: dict[str, Any]) -> str:
    name, *rest = choice.items()
    return ", ".join([str(name[1]), *(f"{key} {value}" for key, value in rest)])
