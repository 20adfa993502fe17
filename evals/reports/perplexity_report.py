"""Perplexities for people: quartiles over problems as a table, and as boxes (arXiv 2504.13837, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from rich import box
from rich.console import Group
from rich.table import Table

from evals.reports.figures import Look, drawing

BASE, POLICY, OTHER = "base", "policy", "other"
PAIRS = [(BASE, BASE), (BASE, POLICY), (POLICY, POLICY), (POLICY, BASE), (BASE, OTHER), (POLICY, OTHER)]

# Steps whose boxes are as wide as the others, and that are written below their boxes, at most.
STEPS_WIDE = 8
STEPS_NAMED = 10


class Author(NamedTuple):
    """Who wrote responses. step: of training, None where it is not known."""

    name: str
    step: int | None = None


class Median(NamedTuple):
    """The median perplexity of a problem's n responses by an author, under a model."""

    model: str
    author: str
    step: int | None
    problem: str
    n: int
    perplexity: float


class Boxed(NamedTuple):
    """What one box shows: the medians of all problems."""

    model: str
    author: str
    step: int | None
    values: list[float]


def boxes(medians: Sequence[Median]) -> list[Boxed]:
    """In the order of PAIRS; of the policy at several steps the last."""
    last = max((m.step for m in medians if m.step is not None), default=None)
    found = []
    for model, author in PAIRS:
        step = last if author == POLICY else None
        if values := [m.perplexity for m in medians if m[:3] == (model, author, step)]:
            found.append(Boxed(model, author, step, values))
    return found


def by_step(medians: Sequence[Median]) -> list[Boxed]:
    """The policy's responses at each step under the base."""
    steps = sorted({m.step for m in medians if m.step is not None})
    return [
        Boxed(BASE, POLICY, s, [m.perplexity for m in medians if m[:3] == (BASE, POLICY, s)]) for s in steps
    ]


def quartiles(medians: Sequence[Median], task: str) -> Group:
    """One row a box."""
    table = Table(
        title=f"Perplexity, {task}",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("of the responses of", no_wrap=True)
    for name in ("under", "problems", "25 %", "median", "75 %"):
        table.add_column(name, justify="right")
    final = boxes(medians)
    for b in [*final, *(b for b in by_step(medians) if b not in final)]:
        author = b.author if b.step is None else f"{b.author}, step {b.step}"
        points = [f"{value:.3f}" for value in np.quantile(b.values, [0.25, 0.5, 0.75])]
        table.add_row(author, b.model, str(len(b.values)), *points)
    n = max(m.n for m in medians)
    return Group("", table, f"quartiles over problems of the median of up to {n} responses each", "")


def draw_boxes(medians: Sequence[Median], task: str, out: Path, look: Look) -> None:
    """Left: the pairs of model and author. Right, if there are several steps: PPL_base(Y_policy) at each."""
    final, steps = boxes(medians), by_step(medians)
    colours = {BASE: look.colour(0), POLICY: look.colour(1), OTHER: look.colour(2)}
    widths = [max(3, len(final))]
    if len(steps) > 1:
        widths.append(min(max(3, len(steps)), STEPS_WIDE))
    with drawing(out, look, (1.2 + 0.95 * sum(widths), 4.0), widths) as axes:
        names = [rf"PPL$_\mathrm{{{b.model}}}$" "\n" rf"(Y$_\mathrm{{{b.author}}}$)" for b in final]
        draw_quartiles(axes[0], final, names, [colours[b.author] for b in final], look)
        axes[0].set_title(task)
        axes[0].set_ylabel("perplexity, median of each problem")
        if len(steps) > 1:
            every = -(-len(steps) // STEPS_NAMED)
            names = [str(b.step) if i % every == 0 else "" for i, b in enumerate(steps)]
            draw_quartiles(axes[1], steps, names, [colours[POLICY]] * len(steps), look)
            axes[1].set_title(r"PPL$_\mathrm{base}$(Y$_\mathrm{policy}$) in training", parse_math=True)
            axes[1].set_xlabel("step")
            axes[1].sharey(axes[0])


def draw_quartiles(
    axes: Axes, shown: Sequence[Boxed], names: Sequence[str], colours: Sequence[str], look: Look
) -> None:
    """Quartiles, whiskers from the 5th to the 95th percentile, and every problem beyond them."""
    drawn = axes.boxplot(
        [b.values for b in shown], tick_labels=list(names), whis=(5, 95), widths=0.55, patch_artist=True,
        medianprops={"color": look.ink, "lw": 1.6}, boxprops={"lw": 1.1},
        flierprops={"marker": "o", "ms": 2.2, "mew": 0, "alpha": 0.55},
    )  # fmt: skip
    for label in axes.get_xticklabels():
        label.set_parse_math(True)
    for i, colour in enumerate(colours):
        drawn["boxes"][i].set(facecolor=(colour, 0.25), edgecolor=colour)
        drawn["fliers"][i].set(markerfacecolor=colour)
        for line in (*drawn["whiskers"][2 * i : 2 * i + 2], *drawn["caps"][2 * i : 2 * i + 2]):
            line.set(color=colour, lw=1.1)
