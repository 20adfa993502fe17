"""Panels of curves: pass@k, the gap in training, and what training logged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from evals.reports.compare import numbers
from evals.reports.compare.arms import Arm, Study
from evals.reports.compare.loading import ModelCounts, Run
from evals.reports.compare.numbers import Combined
from evals.reports.compare.panels import SMALL, Line, Panel, line_of, line_of_base
from evals.reports.figures import EndLabel, Look, label_ends, log2_axis

# The window of the moving average is about a twentieth of the steps.
SMOOTHED_SHARE = 20
LABEL_SIZE = 8.5


class Logged(NamedTuple):
    """A key of metrics.jsonl and the axis that shows it."""

    key: str
    axis: str


LOGGED = (
    Logged("rollout/correct", "share correct"),
    Logged("rollout/unsound", "share right after a wrong step"),
    Logged("rollout/reward", "reward, mean"),
    Logged("rollout/entropy", "entropy, nats per token"),
    Logged("rollout/length", "length, tokens"),
    Logged("mismatch/mean", "mismatch, mean |Δ log p|"),
)


class Against(NamedTuple):
    """What the gap is drawn against. places: [S], of a probed step of each of an arm's runs on the axis."""

    name: str
    axis: str
    places: Callable[[Arm, int], list[float]]


def samples_drawn(arm: Arm, step: int) -> list[float]:
    """[S], for training, up to a step."""
    if step == 0:
        return [0.0] * len(arm.runs)
    return [float(row["total/samples"]) for run in arm.runs for row in run.metrics if row["step"] == step]


MOST_BANDS = 3
# Letters of a name in a path; what tells names apart stands before it.
LONGEST_NAME = 80

STEPS = Against("steps", "training step", lambda arm, step: [float(step)] * len(arm.runs))
SAMPLES = Against("samples", "samples drawn in training", samples_drawn)


class Series(NamedTuple):
    """One arm's curve. y: [X], points of 100 or the quantity's own unit; seeds_x, seeds: [S, X]; marked:
    whether the points are marked."""

    label: str
    line: Callable[[Look], Line]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    seeds_x: NDArray[np.float64]
    seeds: NDArray[np.float64]
    band: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    marked: bool = True


def pass_at_k_panels(study: Study) -> list[list[Panel]]:
    """A row with one a task: the base and every arm at its last probe."""
    return [[_pass_at_k_panel(study, task, "pass@k") for task in study.tasks]]


def sound_at_k_panels(study: Study) -> list[list[Panel]]:
    """The same of right answers without a wrong step, on the tasks whose reasoning was looked at."""
    row = [_pass_at_k_panel(study, task, "sound pass@k") for task in study.tasks if _is_checked(study, task)]
    return [row] if row else []


def _is_checked(study: Study, task: str) -> bool:
    sides = [side for arm in study.on(task) for side in (*arm.bases(task), *arm.policies(task))]
    return numbers.soundly(sides) is not None


def _pass_at_k_panel(study: Study, task: str, measure: str) -> Panel:
    bases, sound = study.bases(task), measure != "pass@k"

    def curve(sides: Sequence[ModelCounts]) -> numbers.Curve:
        return numbers.curve((numbers.soundly(sides) if sound else None) or sides)

    series = [
        _estimated("base" if len(bases) == 1 else f"base of {arms[0].label}", line_of_base, curve(base))
        for base, arms in bases.items()
    ]
    arms = [_estimated(arm.label, partial(line_of, arm), curve(arm.policies(task))) for arm in study.on(task)]
    series += arms if all_banded(study) else [arm._replace(band=None) for arm in arms]
    about = f"{measure} against k on {task}: " + "; ".join(_ends(one) for one in series)
    name = f"{'sound' if sound else 'pass'}_at_k-{plain(task)}"
    return Panel(name, about, partial(_pass_at_k, task, measure, series))


def all_banded(study: Study) -> bool:
    """Whether the arms' curves have bands; those of many would hide each other."""
    return len(study.arms) <= MOST_BANDS


def gap_panels(study: Study) -> list[list[Panel]]:
    """The gap against steps, one a task, and so against samples drawn in training."""
    gaps = {
        task: {arm: own for arm in study.on(task) if (own := numbers.gap_by_step(arm, task, study.k))}
        for task in study.tasks
    }
    rows = []
    for against in (STEPS, SAMPLES):
        placed = {
            task: {arm: by_step for arm, by_step in own.items() if _is_placed(arm, by_step, against)}
            for task, own in gaps.items()
        }
        rows.append([_gap_panel(task, study.k, own, against) for task, own in placed.items() if own])
    return [row for row in rows if row]


def _is_placed(arm: Arm, steps: Iterable[int], against: Against) -> bool:
    """Whether each run says where a step lies; one of another trainer may have logged nothing."""
    return all(len(against.places(arm, step)) == len(arm.runs) for step in steps)


def _gap_panel(task: str, k: int, gaps: Mapping[Arm, Mapping[int, Combined]], against: Against) -> Panel:
    series = []
    for arm, own in gaps.items():
        places = np.array([against.places(arm, step) for step in own]).T
        curve = numbers.Curve(places.mean(axis=0).tolist(), list(own.values()))
        drawn = _estimated(arm.label, partial(line_of, arm), curve)
        series.append(drawn._replace(seeds_x=places, band=None))
    about = f"The gap on {task} against the {against.axis}: " + "; ".join(_ends(one) for one in series)
    name = f"gap-{against.name}-{plain(task)}"
    return Panel(name, about, partial(_gap, task, against.axis, k, series))


def training_panels(study: Study) -> list[list[Panel]]:
    """A row with one for each quantity that an arm logged."""
    row = []
    for logged in LOGGED:
        series = [one for arm in study.arms if (one := _logged(arm, logged)) is not None]
        if series:
            about = f"{logged.axis} against steps: " + "; ".join(_ends(one, 3) for one in series)
            name = f"training-{plain(logged.key)}"
            row.append(Panel(name, about, partial(_training, logged, series), SMALL))
    return [row]


def window(runs: Sequence[Run]) -> int:
    """Steps that the moving average covers; odd."""
    return 2 * (max(run.trained for run in runs) // (2 * SMOOTHED_SHARE)) + 1


def smooth(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Centred moving average over `size` steps, fewer at the ends; what is not finite is left out."""
    size = min(size, 2 * ((len(values) - 1) // 2) + 1)
    known = np.isfinite(values)
    total = np.convolve(np.where(known, values, 0.0), np.ones(size), "same")
    count = np.convolve(known.astype(float), np.ones(size), "same")
    return np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)


def plain(name: str) -> str:
    """A name that can stand in a path and in an id."""
    return "".join(letter if letter.isalnum() or letter in "_-" else "-" for letter in name)[:LONGEST_NAME]


def _estimated(label: str, line: Callable[[Look], Line], curve: numbers.Curve) -> Series:
    """In points of 100."""
    values: Sequence[Combined] = curve.y
    low, high = np.array([value.interval for value in values]).T
    seeds = 100 * np.array([value.seeds for value in values]).T
    return Series(
        label=label,
        line=line,
        x=np.array(curve.x),
        y=100 * np.array([value.value for value in values]),
        seeds_x=np.broadcast_to(np.array(curve.x), seeds.shape),
        seeds=seeds,
        band=(100 * low, 100 * high),
    )


def _logged(arm: Arm, logged: Logged) -> Series | None:
    """Smoothed, at the steps that all seeds have; None where one did not log it, or no number."""
    rows: list[Mapping[int, float]] = [
        {row["step"]: row[logged.key] for row in run.metrics if logged.key in row} for run in arm.runs
    ]
    steps = sorted(set.intersection(*({*own} for own in rows)))
    if not steps:
        return None
    size = window(arm.runs)
    seeds = np.array([smooth(np.array([own[step] for step in steps], dtype=float), size) for own in rows])
    mean, places = seeds.mean(axis=0), np.array(steps, dtype=float)
    if not np.isfinite(mean).any():
        return None
    seeds_x = np.broadcast_to(places, seeds.shape)
    return Series(arm.label, partial(line_of, arm), places, mean, seeds_x, seeds, marked=False)


def _ends(series: Series, places: int = 0) -> str:
    return f"{series.label} from {series.y[0]:.{places}f} to {series.y[-1]:.{places}f}"


def _pass_at_k(task: str, measure: str, series: Sequence[Series], axes: Axes, look: Look) -> None:
    _draw(series, axes, look)
    log2_axis(axes, int(max(one.x[-1] for one in series)))
    axes.set(ylabel=f"{measure}, %", xlabel="k, samples per problem", title=task)
    _finish(series, axes, look)


def _gap(task: str, axis: str, k: int, series: Sequence[Series], axes: Axes, look: Look) -> None:
    _draw(series, axes, look)
    axes.set(ylabel=f"gap at K = {k}, points", xlabel=axis, title=task)
    axes.set_xlim(0)
    axes.locator_params(axis="x", nbins=5)
    _finish(series, axes, look)


def _training(logged: Logged, series: Sequence[Series], axes: Axes, look: Look) -> None:
    _draw(series, axes, look)
    axes.set(title=logged.axis, xlabel="training step")
    axes.locator_params(nbins=5)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    _finish(series, axes, look)


def _draw(series: Sequence[Series], axes: Axes, look: Look) -> None:
    """Bands below, then single seeds, then the means."""
    for one in series:
        if one.band is not None:
            axes.fill_between(one.x, *one.band, color=one.line(look).colour, alpha=0.08, linewidth=0)
    for one in series:
        line = one.line(look)
        if len(one.seeds) > 1:
            axes.plot(one.seeds_x.T, one.seeds.T, color=line.colour, lw=0.7, alpha=0.45)
    for one in series:
        axes.plot(one.x, one.y, **_strokes(one, look))


def _strokes(series: Series, look: Look) -> dict[str, Any]:
    """How its mean is drawn."""
    line = series.line(look)
    return {
        "color": line.colour, "lw": 1.7, "ls": line.dash, "marker": line.marker if series.marked else "",
        "ms": 4.2, "mec": look.background, "mew": 0.6,
    }  # fmt: skip


def _finish(series: Sequence[Series], axes: Axes, look: Look) -> None:
    """Names beside the ends of the curves; the axes' limits are final."""
    axes.set_ylim(axes.get_ylim())
    last = [np.flatnonzero(np.isfinite(one.y))[-1] for one in series]
    ends = [
        EndLabel(float(one.x[i]), float(one.y[i]), one.label, one.line(look).colour, _strokes(one, look))
        for one, i in zip(series, last, strict=True)
    ]
    label_ends(axes, ends, LABEL_SIZE)
