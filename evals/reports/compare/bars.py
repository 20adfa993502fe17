"""Panels of bars and boxes: accuracy by problem, solvable sets, perplexities."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from evals.estimators.reliability import BINS, histogram
from evals.estimators.solvability import ExpectedLedger, expected_ledger
from evals.reports.compare.arms import Arm, Study
from evals.reports.compare.lines import plain
from evals.reports.compare.loading import ModelCounts, Run
from evals.reports.compare.numbers import soundly
from evals.reports.compare.panels import SMALL, WIDTH, Panel, line_of
from evals.reports.figures import Look
from evals.reports.perplexity_report import POLICY, Boxed, boxes, draw_quartiles

# Places of the bars: those of exactly 0 and exactly 1 stand apart from the ten between.
PLACES = np.array([-1.0, *(i + 0.5 for i in range(10)), 11.0])
TICKS = {-1.0: "0", 2.0: ".2", 4.0: ".4", 6.0: ".6", 8.0: ".8", 11.0: "1"}
# A part of a stacked bar below this share of it has no number in it.
LEGIBLE = 0.06


class Solved(NamedTuple):
    """One stacked bar; of a run, and below it of its sound answers. k: at which both sides are counted."""

    label: str
    k: int
    ledger: ExpectedLedger


def histogram_panels(study: Study) -> list[list[Panel]]:
    """One row per task, one bar per arm; none where sampling stopped at a success: a biased accuracy."""
    return [row for task in study.tasks if (row := _histogram_row(study, task))]


def _histogram_row(study: Study, task: str) -> list[Panel]:
    shown = {arm: counts for arm in study.on(task) if (counts := _histograms(arm.policies(task))) is not None}
    bases = {arm: _histograms(arm.bases(task)) for arm in shown}
    highest = max((float(c.max()) for c in [*shown.values(), *bases.values()] if c is not None), default=0)
    row = []
    for arm, counts in shown.items():
        told = ", ".join(f"{count:g} at {name}" for name, count in zip(BINS, counts, strict=True) if count)
        draw = partial(_histogram, f"{arm.label}, {task}", arm, counts, bases[arm], 1.06 * highest)
        name = f"histogram-{plain(task)}-{arm.index}-{plain(arm.label)}"
        row.append(Panel(name, f"Problems of {task} by accuracy under {arm.label}: {told}", draw, SMALL))
    return row


def solvable_panels(study: Study) -> list[list[Panel]]:
    """A row with one a task, one bar a run."""
    row = []
    for task in study.tasks:
        solved = [one for arm in study.on(task) for run in arm.runs for one in _solved(study, run, task)]
        about = f"Problems of {task} that are solved by " + "; ".join(
            f"{one.label} and the base {one.ledger.both:g}, base only {one.ledger.lost:g}, policy only "
            f"{one.ledger.gained:g}, neither {one.ledger.neither:g}"
            for one in solved
        )
        size = (WIDTH, 1.25 + 0.27 * len(solved))
        row.append(Panel(f"solvable-{plain(task)}", about, partial(_solvable, task, solved), size))
    return [row]


def perplexity_panels(study: Study) -> list[list[Panel]]:
    """One row per task, one bar per run whose perplexities were computed."""
    tasks = dict.fromkeys(task for run in study.runs for task in run.perplexities)
    return [_perplexity_row(study, task) for task in tasks]


def _perplexity_row(study: Study, task: str) -> list[Panel]:
    found = [
        (arm, run, boxes(run.perplexities[task]))
        for arm in study.arms
        for run in arm.runs
        if task in run.perplexities
    ]
    values = [value for *_, shown in found for one in shown for value in one.values]
    limits = (min(values), max(values))
    row = []
    for arm, run, shown in found:
        about = f"Perplexity on {task}, {study.name(run)}, step {run.perplexity_step}, medians: " + ", ".join(
            f"{np.median(one.values):.3f} of {one.author} under {one.model}" for one in shown
        )
        name = f"perplexity-{plain(task)}-{study.runs.index(run)}-{plain(study.name(run))}"
        title = f"{study.name(run)}, step {run.perplexity_step}, {task}"
        draw = partial(_perplexity, title, arm, shown, limits)
        row.append(Panel(name, about, draw))
    return row


def _histograms(sides: Sequence[ModelCounts]) -> NDArray[np.float64] | None:
    """[12] problems in each bin, a mean over the sides."""
    if any(side.counts.stop_r is not None for side in sides):
        return None
    return np.mean([histogram(side.counts) for side in sides], axis=0)


def _histogram(
    title: str, arm: Arm, counts: NDArray[np.float64], base: NDArray[np.float64] | None, highest: float,
    axes: Axes, look: Look,
) -> None:  # fmt: skip
    axes.bar(PLACES, counts, width=0.86, color=line_of(arm, look).colour, alpha=0.75, linewidth=0)
    if base is not None:
        there = base > 0
        axes.bar(PLACES[there], base[there], width=0.86, fill=False, edgecolor=look.ink, linewidth=1.0)
    axes.set(title=title, xlabel="accuracy of a problem", ylabel="problems", ylim=(0, highest))
    axes.set_xticks(list(TICKS), list(TICKS.values()))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))


def _solved(study: Study, run: Run, task: str) -> list[Solved]:
    """By right answers and, where the reasoning was looked at, by sound ones."""
    both = [run.tasks[task].base, run.policy(task)]
    found = []
    for label, sides in ((study.name(run), both), ("soundly", soundly(both))):
        if sides is not None:
            base, policy = sides[0].counts, sides[1].counts
            k = min(base.largest_k, policy.largest_k)
            found.append(Solved(label, k, expected_ledger(base, policy, k)))
    return found


def _solvable(task: str, solved: Sequence[Solved], axes: Axes, look: Look) -> None:
    parts: dict[str, tuple[list[float], dict[str, Any]]] = {
        "both": ([one.ledger.both for one in solved], {"facecolor": look.muted, "alpha": 0.75}),
        "base only": (
            [one.ledger.lost for one in solved],
            {"facecolor": look.background, "edgecolor": look.muted, "hatch": "/////", "linewidth": 0.6},
        ),
        "policy only": ([one.ledger.gained for one in solved], {"facecolor": look.ink}),
        "neither": ([one.ledger.neither for one in solved], {"facecolor": look.grid}),
    }
    inks = [look.background, look.ink, look.background, look.muted]
    places, left = np.arange(len(solved))[::-1], np.zeros(len(solved))
    for (values, style), ink in zip(parts.values(), inks, strict=True):
        widths = np.array(values)
        axes.barh(places, widths, left=left, height=0.68, **style)
        for place, start, width in zip(places, left, widths, strict=True):
            if width > LEGIBLE * sum(solved[0].ledger):
                box = {"facecolor": look.background, "linewidth": 0, "pad": 1} if "hatch" in style else None
                axes.text(
                    start + width / 2, place, f"{width:.3g}", color=ink, size=8, ha="center", va="center",
                    bbox=box,
                )  # fmt: skip
        left += widths
    for place, one in zip(places, solved, strict=True):
        beside = f" +{one.ledger.gained:.3g} \N{MINUS SIGN}{one.ledger.lost:.3g}"
        axes.text(left.max(), place, beside, color=look.ink, size=8, ha="left", va="center")
    k = {one.k for one in solved}
    axes.set_yticks(places, [one.label for one in solved])
    axes.set(title=task, xlabel=f"problems solved at k = {'/'.join(map(str, sorted(k)))}")
    axes.grid(False)
    axes.spines["left"].set_visible(False)
    axes.set(xlim=(0, left.max()), ylim=(-0.6, len(solved) - 0.4))
    handles = [Patch(**style, label=name) for name, (_, style) in parts.items()]
    axes.figure.legend(
        handles=handles, ncols=4, loc="outside lower left", frameon=False, handlelength=1.1,
        columnspacing=1.2, handletextpad=0.5, fontsize=8.5,
    )  # fmt: skip


def _perplexity(
    title: str, arm: Arm, shown: Sequence[Boxed], limits: tuple[float, float], axes: Axes, look: Look
) -> None:
    names = [rf"PPL$_\mathrm{{{b.model}}}$" "\n" rf"(Y$_\mathrm{{{b.author}}}$)" for b in shown]
    own = line_of(arm, look).colour
    draw_quartiles(axes, shown, names, [own if b.author == POLICY else look.muted for b in shown], look)
    low, high = limits
    room = 0.05 * (high - low)
    axes.set(title=title, ylabel="perplexity, median of a problem", ylim=(low - room, high + room))
