"""What to know before comparing: how the runs differ beyond the algorithm, and what is wrong."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

from evals.reports.compare import numbers
from evals.reports.compare.arms import Study
from evals.reports.compare.costs import cost
from evals.reports.compare.loading import ModelCounts, Run
from rlvr.algorithms import departures
from rlvr.config.keys import flattened


class Flag(NamedTuple):
    """text: what differs, or what is wrong. values: each value with the runs that have it. why: what
    follows for the reader."""

    text: str
    values: list[tuple[str, str]]
    why: str


class Aspect(NamedTuple):
    """Something that fair runs have in common. of: its value in a run, as it is shown."""

    name: str
    of: Callable[[Run], str]
    why: str


class Settings(NamedTuple):
    """A section of the configuration that fair runs have in common. Of it, the keys that differ are shown."""

    section: str
    why: str


class TaskAspect(NamedTuple):
    """The same of a task; of: is given base and policy."""

    name: str
    of: Callable[[ModelCounts, ModelCounts], str]
    why: str


NOT_PAIRED = "Their figures there are not comparable; no differences are computed."
OTHER_BASE = "Gaps to different bases are not comparable."
# Keys of the settings that are aspects of their own.
SHOWN_ABOVE = ("rollouts.prompts", "rollouts.group_size")
BUDGET = "One run could train on more than another."

ASPECTS = [
    Aspect("base model", lambda run: run.config.base_model, OTHER_BASE),
    Aspect("tasks probed", lambda run: ", ".join(run.tasks), "Some cells are empty."),
    Aspect("training task", lambda run: _options(run.config.task.model_dump()), "They learned other things."),
    Aspect("model to start from", lambda run: run.config.model, "They did not start alike."),
    Aspect("steps trained", lambda run: str(run.trained), BUDGET),
    Aspect("step of the figures", lambda run: str(run.step), BUDGET),
    Aspect("prompts per step", lambda run: str(run.config.rollouts.prompts), BUDGET),
    Aspect("group size", lambda run: str(run.config.rollouts.group_size), BUDGET),
    Aspect("samples drawn in training", lambda run: _rounded(cost(run).samples), BUDGET),
    Aspect("code revision", lambda run: str(run.card.get("git")), "The program itself may have changed."),
]
SETTINGS = [
    Settings("rewards", "Their rewards are not on one scale; the share that is correct is."),
    Settings("rollouts", "They sampled in other ways."),
    Settings("optim", "Updates of another kind may be all the difference."),
    Settings("policy", "Updates of another kind may be all the difference."),
]
TASK_ASPECTS = [
    TaskAspect("weights of the base", lambda b, p: b.origin.weights, OTHER_BASE),
    TaskAspect("problems", lambda b, p: f"{len(p.problems)} problems, data {p.conditions.data}", NOT_PAIRED),
    TaskAspect("template", lambda b, p: p.conditions.template, NOT_PAIRED),
    TaskAspect("sampling", lambda b, p: _sampling(p), NOT_PAIRED),
    TaskAspect("grader", lambda b, p: p.conditions.grader, NOT_PAIRED),
    TaskAspect("checker of reasoning", lambda b, p: f"{p.soundness}", "Sound figures do not compare."),
    TaskAspect("samples per problem", lambda b, p: _size(p), "Where n is below K, pass@K is not estimated."),
    TaskAspect("samples of the base", lambda b, p: _size(b), "Where n is below K, there is no gap."),
    TaskAspect("probe engine", lambda b, p: f"{p.origin.engine}, {p.origin.dtype}", "Rounding differs."),
]  # fmt: skip


def flags(study: Study) -> list[Flag]:
    """In the order of their weight: what is unfinished, then what was measured, then what was trained."""
    found = [*_unfinished(study), *_twins(study), *_controls(study), *_unsound(study)]
    for aspect in TASK_ASPECTS:
        found += _on_tasks(study, aspect)
    for task in study.tasks:
        found += _bases(study, task)
    for whole in ASPECTS:
        values = {run: whole.of(run) for run in study.runs}
        if len(set(values.values())) > 1:
            found.append(Flag(f"Different {whole.name}", _grouped(study, values), whole.why))
    found += [flag for settings in SETTINGS if (flag := _settings(study, settings))]
    return [*found, *_old_perplexities(study)]


def shared_aspects() -> list[str]:
    """What runs have in common where there is no flag."""
    tasks = [f"{aspect.name} on each task" for aspect in TASK_ASPECTS]
    return [*(aspect.name for aspect in ASPECTS), *(f"the settings of {s.section}" for s in SETTINGS), *tasks]


def _settings(study: Study, settings: Settings) -> Flag | None:
    flat = {run: flattened({settings.section: section(run, settings.section)}) for run in study.runs}
    keys = dict.fromkeys(key for own in flat.values() for key in own if key not in SHOWN_ABOVE)
    differing = [key for key in keys if len({json.dumps(own.get(key)) for own in flat.values()}) > 1]
    if not differing:
        return None
    values = {
        run: ", ".join(f"{key} {json.dumps(own.get(key))}" for key in differing) for run, own in flat.items()
    }
    return Flag(f"Different settings of {settings.section}", _grouped(study, values), settings.why)


def section(run: Run, name: str) -> dict[str, Any]:
    """A section of the run's configuration."""
    return run.config.model_dump(mode="json")[name]


def _old_perplexities(study: Study) -> list[Flag]:
    return [
        Flag(
            f"Perplexities of {study.name(run)} are not of its last probe",
            [(f"step {measured}", f"other figures of step {run.step}")],
            "Make them again with python -m evals perplexity.",
        )
        for run in study.runs
        if (measured := run.perplexity_step) not in (None, run.step)
    ]


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
    """Each value with the names of the runs that have it; the arm's, where it is all of several."""
    names: dict[str, list[str]] = {value: [] for value in values.values()}
    for arm in study.arms:
        own = {run: values[run] for run in arm.runs if run in values}
        if len(own) > 1 and len(set(own.values())) == 1:
            names[values[arm.runs[0]]].append(arm.label)
        else:
            for run, value in own.items():
                names[value].append(study.name(run))
    return [(value, ", ".join(who)) for value, who in names.items()]


def _unfinished(study: Study) -> list[Flag]:
    return [
        Flag(
            f"{study.name(run)} is unfinished",
            [(f"{run.trained} of {run.config.steps} steps trained", f"figures of step {run.step}")],
            "It may still change. The same launch command resumes it.",
        )
        for run in study.runs
        if not run.finished
    ]


def changed_defaults(study: Study) -> list[tuple[str, str]]:
    """Arms whose algorithm does not have its own defaults, with what differs: its name does not say all of
    what ran."""
    own = {arm.label: departures(arm.runs[0].config.algorithm) for arm in study.arms}
    return [(label, settings) for label, settings in own.items() if settings]


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


def _controls(study: Study) -> list[Flag]:
    """Arms whose rewards are not what answers earn."""
    found = {arm.label: arm.runs[0].config.rewards.control for arm in study.arms}
    if not any(found.values()):
        return []
    rows = [(f"rewards.control={control}", label) for label, control in found.items() if control]
    return [Flag("Controls", rows, "Their rewards are not what the answers earn.")]


def _bases(study: Study, task: str) -> list[Flag]:
    """The same base that was sampled more than once."""
    bases: dict[ModelCounts, list[str]] = defaultdict(list)
    for own, arms in study.bases(task).items():
        for base in own:
            bases[base] += [arm.label for arm in arms]
    if len({(base.posed, base.origin.weights, _size(base)) for base in bases}) == len(bases):
        return []
    rows = [(f"sample {i}", ", ".join(labels)) for i, labels in enumerate(bases.values(), 1)]
    why = "Their gaps differ by chance on the base's side too. A common RLVR_STORE shares the base's samples."
    return [Flag(f"The base was sampled {len(bases)} times on {task}", rows, why)]


def _unsound(study: Study) -> list[Flag]:
    """Where pass@1 is not what sound reasoning reaches."""
    found = []
    for task in study.tasks:
        cells = {arm: numbers.cells(arm.bases(task), arm.policies(task), study.k) for arm in study.on(task)}
        rows = [(_wrong(own), arm.label) for arm, own in cells.items() if own.sound and own.sound.apart]
        if rows:
            why = "Their pass@1 is not the share of sound reasoning: read the sound figures beside it."
            found.append(Flag(f"Right answers after a wrong step on {task}", rows, why))
    return found


def _wrong(cells: numbers.Cells) -> str:
    sound = cells.sound
    if sound is None or sound.unsound is None:
        return "unknown"
    ends = sound.unsound.interval
    shown = "" if ends is None else f" [{100 * ends.low:.0f}, {100 * ends.high:.0f}]"
    return (
        f"{sound.unsound.value:.0%} of right answers have a wrong step{shown}: pass@1 "
        f"{100 * cells.at_1.value:.1f}, sound {100 * sound.at_1.value:.1f}"
    )


def _rounded(count: int) -> str:
    """To two digits: where draws depend on answers, seeds differ by a little."""
    return f"{float(f'{count:.2g}'):,.0f}"


def _sampling(side: ModelCounts) -> str:
    c = side.conditions
    ended = f", ended at {' or '.join(map(repr, c.stop))}" if c.stop else ""
    return f"temperature {c.temperature:g}, top-p {c.top_p:g}, at most {c.max_new_tokens} tokens{ended}"


def _size(side: ModelCounts) -> str:
    stop = f", to success {side.counts.stop_r}" if side.counts.stop_r else ""
    return f"{side.counts.n_max}{stop}"


def _options(choice: dict[str, Any]) -> str:
    name, *rest = choice.items()
    return ", ".join([str(name[1]), *(f"{key} {value}" for key, value in rest)])
