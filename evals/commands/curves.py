"""python -m evals curves FILE... out=curves.png [labels=A,B,...] [allow=temperature,...] [theme=light|dark]
    [sound=true] [over=turns k=1]

Draws pass@k against k for any number of counts files (Parquet or JSON lines of problem, n, correct), with
95 % bands over problems. Files that say under which conditions they were measured must agree in
all of them, but for those that `allow` names; so must the problems, unless allow=data. labels: one a file,
in their order. out: .png, .svg or .pdf. sound=true: beside each curve, dashed, that of right answers without
a wrong step, of the files whose reasoning was looked at (`python -m evals sound`). over=turns: of episodes
pass@(k, T) against T, the turns that a try may have, at one k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evals.commands.frame import OutFile, command
from evals.estimators.counts import Counts
from evals.estimators.intervals.means import FEW_PROBLEMS, SHARE, mean_interval
from evals.estimators.passk import ks_up_to
from evals.records.conditions import Conditions, ConditionsError
from evals.records.files import CountsFile, FileError, read_counts
from evals.reports.figures import FORMATS, LOOKS, EndLabel, Look, drawing, label_ends, log2_axis
from evals.reports.tables import rough
from rlvr.config.errors import Mistake, nearest
from rlvr.config.schema import Positive, Section

FIELDS = tuple(field.name for field in fields(Conditions))


class Drawing(Section):
    """What one command draws."""

    files: tuple[Path, ...]
    out: OutFile
    labels: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    theme: Literal["light", "dark"] = "light"
    sound: bool = False
    over: Literal["k", "turns"] = "k"
    k: Positive = 1


class Curve(NamedTuple):
    """Points of 100 against k, or against turns: pass@k, and its 95 % interval over problems."""

    label: str
    ks: list[int]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    sound: bool = False


def mistakes(settings: Drawing) -> list[Mistake]:
    """What is wrong with the files, the labels or the output's name."""
    files = settings.files
    found = [Mistake(str(f), None, "there is no such file") for f in files if not f.is_file()]
    if not files:
        found.append(Mistake("FILE", None, "give at least one counts file"))
    if settings.labels and len(settings.labels) != len(files):
        found.append(Mistake("labels", ",".join(settings.labels), f"give one a file, {len(files)} in all"))
    for name in set(settings.allow) - set(FIELDS):
        found.append(Mistake("allow", name, nearest(name, FIELDS, "may differ")))
    if settings.out.suffix not in FORMATS:
        found.append(Mistake("out", str(settings.out), f"the name ends in one of {', '.join(FORMATS)}"))
    return found


@command(Drawing, mistakes, positional="files")
def main(settings: Drawing) -> None:
    """Raises FileError, or ConditionsError for files that must not be compared."""
    measured = [read_counts(path) for path in settings.files]
    check_alike(settings.files, measured, settings.allow)
    labels = settings.labels or default_labels(settings.files)
    if settings.over == "turns":
        curves = [turn_curve(label, m, settings.k) for label, m in zip(labels, measured, strict=True)]
        draw_curves(curves, caption(measured), settings.out, LOOKS[settings.theme], f"pass@({settings.k}, T)")
    else:
        curves = [pass_at_k_curve(label, m.counts) for label, m in zip(labels, measured, strict=True)]
        if settings.sound:
            curves = _with_sound(curves, measured)
        draw_curves(curves, caption(measured), settings.out, LOOKS[settings.theme])
    print(f"wrote {settings.out}")
    if few := rough(min(len(m.problems) for m in measured)):
        print(few)


def _with_sound(curves: Sequence[Curve], measured: Sequence[CountsFile]) -> list[Curve]:
    """Each curve with that of sound answers after it. Raises FileError where no file has any."""
    if all(m.sound is None for m in measured):
        raise FileError(
            "sound=true: nobody looked at the reasoning in these: python -m evals sound RUN write=true"
        )
    made = []
    for curve, m in zip(curves, measured, strict=True):
        made.append(curve)
        if m.sound is not None:
            own = pass_at_k_curve(f"{curve.label}, sound", m.sound.sound)
            made.append(own._replace(sound=True))
    return made


def check_alike(files: Sequence[Path], measured: Sequence[CountsFile], allow: Sequence[str]) -> None:
    """Raises ConditionsError unless all curves may stand in one figure; names files and what differs."""
    known = [(f, m.conditions) for f, m in zip(files, measured, strict=True) if m.conditions is not None]
    wrong = []
    for name in FIELDS:
        values = [getattr(conditions, name) for _, conditions in known]
        if name not in allow and len(set(values)) > 1:
            wrong += [f"  {name}", *(f"      {v}: {f}" for v, (f, _) in zip(values, known, strict=True))]
    if "data" not in allow and len({frozenset(m.problems) for m in measured}) > 1:
        wrong += [
            "  problems",
            *(f"      {len(m.problems)}: {f}" for m, f in zip(measured, files, strict=True)),
        ]
    if wrong:
        advice = "Measure alike, or name what may differ: allow=temperature (problems: allow=data)"
        raise ConditionsError("\n".join(["these files cannot be compared; they differ in", *wrong, advice]))


def default_labels(files: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell the files apart, without suffix."""
    names = [f.with_suffix("").parts for f in files]
    depth = 1
    while len({n[-depth:] for n in names}) < len(set(names)):
        depth += 1
    return ["/".join(n[-depth:]) for n in names]


def pass_at_k_curve(label: str, counts: Counts) -> Curve:
    """At k = 1, 2, 4, ... up to the largest that can be estimated."""
    ks = ks_up_to(counts.largest_k)
    return _curve(label, ks, [counts.pass_at_k(k) for k in ks])


def turn_curve(label: str, measured: CountsFile, k: int) -> Curve:
    """pass@(k, T) at T = 1, 2, ... Raises FileError where there are no episodes, or fewer samples than k."""
    turns = measured.turns
    if turns is None or k > turns.n.min():
        raise FileError(f"over=turns, {label}: holds no episodes, or fewer than k={k} of a problem")
    every = range(1, turns.turns + 1)
    return _curve(label, [*every], [turns.within(t).pass_at_k(k) for t in every])


def _curve(label: str, places: list[int], points: Sequence[NDArray[np.float64]]) -> Curve:
    """points: [P] at each place."""
    bounds = 100 * np.array([mean_interval(values, SHARE) for values in points])
    means = 100 * np.array([values.mean() for values in points])
    return Curve(label, places, means, bounds[:, 0], bounds[:, 1])


def caption(measured: Sequence[CountsFile]) -> tuple[str, str]:
    """The figure's title and the line below it: what all the files that say so have in common."""
    known = [m.conditions for m in measured if m.conditions is not None]
    shared = {name: {getattr(c, name) for c in known} for name in FIELDS}
    said = {name: next(iter(values)) for name, values in shared.items() if len(values) == 1}
    problems = {len(m.problems) for m in measured}
    parts = [f"{problems.pop()} problems"] if len(problems) == 1 else []
    parts += [
        f"{name.replace('_p', '-p')} {said[name]:g}" for name in ("temperature", "top_p") if name in said
    ]
    bands = "bands: 95 % over problems"
    if min(len(m.problems) for m in measured) < FEW_PROBLEMS:
        bands += f", rough below {FEW_PROBLEMS}"
    return str(said.get("task", "pass@k")), ", ".join([*parts, bands])


def draw_curves(
    curves: Sequence[Curve], about: tuple[str, str], out: Path, look: Look, over_turns: str = ""
) -> None:
    """about: title and the line below it. Points stand where pass@k was estimated. over_turns: what is drawn
    against turns, where it is not pass@k against k."""
    with drawing(out, look, (7.2, 4.4)) as (axes,):
        colours = [look.colour(sum(not c.sound for c in curves[: i + 1]) - 1) for i in range(len(curves))]
        for curve, colour in zip(curves, colours, strict=True):
            axes.fill_between(curve.ks, curve.low, curve.high, color=colour, alpha=0.14, linewidth=0)
            axes.plot(
                curve.ks, curve.mean, color=colour, lw=1.8, marker="o", ms=4, mec=look.background, mew=0.6,
                ls=(0, (4, 1.5)) if curve.sound else "-",
            )  # fmt: skip
        lowest, highest = min(c.low.min() for c in curves), max(c.high.max() for c in curves)
        room = max(2.0, 0.06 * (highest - lowest))
        axes.set_ylim(max(0.0, lowest - room) if lowest > 0 else -0.02 * highest, min(highest + room, 101.5))
        if over_turns:
            axes.set(ylabel=f"{over_turns}, %", xlabel="T, turns of a try", xticks=curves[0].ks)
        else:
            log2_axis(axes, max(curve.ks[-1] for curve in curves))
            axes.set(ylabel="pass@k, %", xlabel="k, samples per problem")
        title, below = about
        axes.set_title(title, pad=22)
        axes.text(0, 1.025, below, transform=axes.transAxes, color=look.muted, size=8.5)
        ends = [EndLabel(c.ks[-1], float(c.mean[-1]), c.label, colour)
                for c, colour in zip(curves, colours, strict=True)]  # fmt: skip
        label_ends(axes, ends)
