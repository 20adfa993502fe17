"""The page: every number and figure of a study in one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jinja2

from evals.estimators.intervals.means import FEW_PROBLEMS, Interval
from evals.records.judge_checks import remark
from evals.reports.compare import differences, numbers
from evals.reports.compare.arms import Arm, Study
from evals.reports.compare.bars import histogram_panels, perplexity_panels, solvable_panels
from evals.reports.compare.costs import cost, differing_keys
from evals.reports.compare.flags import changed_defaults, flags, shared_aspects
from evals.reports.compare.lines import (
    all_banded,
    gap_panels,
    pass_at_k_panels,
    sound_at_k_panels,
    training_panels,
    window,
)
from evals.reports.compare.numbers import Cells
from evals.reports.compare.panels import COLOURS, Panel, colour_names
from evals.reports.figures import LOOKS

NOTHING, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Group:
    """Rows of panels under one heading of the page. key: what their names begin with."""

    key: str
    panels: Callable[[Study], list[list[Panel]]]


GROUPS = (
    Group("pass_at_k", pass_at_k_panels),
    Group("sound_at_k", sound_at_k_panels),
    Group("gap", gap_panels),
    Group("histogram", histogram_panels),
    Group("solvable", solvable_panels),
    Group("perplexity", perplexity_panels),
    Group("training", training_panels),
)


class Row(NamedTuple):
    """One row of the study's table. arm: None for a base. cells: by task, where it was measured."""

    name: str
    about: str
    arm: Arm | None
    cells: Mapping[str, Cells]


def study_rows(study: Study) -> list[Row]:
    """Bases first, one row where all arms share it."""
    rows: dict[str, dict[str, Cells]] = {}
    for task in study.tasks:
        bases = study.bases(task)
        for base, arms in bases.items():
            name = "" if len(bases) == 1 else ", ".join(arm.label for arm in arms)
            rows.setdefault(name, {})[task] = numbers.cells(base, base, study.k)
    shown = [Row("Base", f"of {name}" if name else "", None, cells) for name, cells in rows.items()]
    for arm in study.arms:
        own = {
            task: numbers.cells(arm.bases(task), arm.policies(task), study.k)
            for task in study.tasks
            if task in arm.tasks
        }
        shown.append(Row(arm.label, f"{arm.seeds}, step {arm.step}", arm, own))
    return shown


def render(study: Study, figures: Mapping[str, list[list[str]]]) -> str:
    """figures: by group and row, as SVG that `panels.write` returned."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("evals.reports.compare", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"points": points, "interval": interval, "spread": spread, "clock": clock}
    pairs, rows = differences.pairs(study), study_rows(study)
    return environment.get_template("page.html.jinja").render(
        study=study,
        finding=finding(rows, study.tasks, study.k),
        colours={name: colour_names(look) for name, look in LOOKS.items()},
        number_of_colours=COLOURS,
        flags=flags(study),
        changed=changed_defaults(study),
        measured={task: _measured(study, task) for task in study.tasks},
        rows=rows,
        measures=[measure.name for measure in differences.measures(study.k, differences.is_checked(study))],
        checked=differences.is_checked(study),
        all_banded=all_banded(study),
        pairs=pairs,
        compared=len(differences.family(pairs)),
        few=few_problems(study),
        fewest_seeds=min(len(arm.runs) for arm in study.arms),
        shared=shared_aspects(),
        costs=[(run, cost(run)) for run in study.runs],
        keys=differing_keys(study.runs),
        window=window(study.runs),
        figures=figures,
    )


def finding(rows: Sequence[Row], tasks: Sequence[str], k: int) -> str:
    """In one sentence: how far the arm that closed most of the first task's gap came, and what it cost in
    coverage; empty where no gap is known."""
    task = tasks[0]
    arms = [row for row in rows if row.arm is not None and task in row.cells and row.cells[task].closed]
    base = next((row.cells[task] for row in rows if row.arm is None and task in row.cells), None)
    if base is None or not arms or base.at_k is None:
        return ""
    best = max(arms, key=lambda row: row.cells[task].closed.value)  # type: ignore[union-attr]
    own = best.cells[task]
    assert own.closed is not None
    said = (
        f"On {task}, {best.name} takes pass@1 from {points(base.at_1.value)} to {points(own.at_1.value)}, "
        f"{points(own.closed.value)} % of the way to the base's pass@{k}"
    )
    if len(arms) > 1:
        said += f", the farthest of {len(arms)} arms (whether they differ is said below)"
    if own.at_k is None:
        return f"{said}."
    return f"{said}; pass@{k} goes from {points(base.at_k.value)} to {points(own.at_k.value)}."


def few_problems(study: Study) -> list[str]:
    """The tasks with so few problems that intervals over them are rough, each with their number."""
    found = {task: len(study.on(task)[0].policies(task)[0].problems) for task in study.tasks}
    return [f"{task} ({count} problems)" for task, count in found.items() if count < FEW_PROBLEMS]


def points(value: float | None, sign: str = "") -> str:
    """A fraction in points of 100."""
    if value is None:
        return NOTHING
    return f"{round(100 * value, 1) + 0.0:{sign}.1f}".replace("-", MINUS)


def interval(bounds: Interval, sign: str = "") -> str:
    return f"[{points(bounds.low, sign)}, {points(bounds.high, sign)}]"


def spread(seeds: Sequence[float]) -> str:
    """Lowest to highest seed."""
    return f"{points(min(seeds))} to {points(max(seeds))}"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _measured(study: Study, task: str) -> list[str]:
    """How a task was measured, one line for each way."""
    lines: dict[str, None] = {}
    for arm in study.on(task):
        base, policy = arm.bases(task)[0], arm.policies(task)[0]
        about = policy.conditions
        ended = f", ended at {' or '.join(map(repr, about.stop))}" if about.stop else ""
        lines[
            f"{len(policy.problems)} problems, {policy.counts.n_max} samples each ({base.counts.n_max} of "
            f"the base), temperature {about.temperature:g}, top-p {about.top_p:g}, at most "
            f"{about.max_new_tokens} tokens{ended}, template {about.template}, grader {about.grader}"
            + (f", reasoning by {policy.soundness}" if policy.soundness else "")
            + remark([policy.soundness], between="; ")
        ] = None
    return list(lines)
