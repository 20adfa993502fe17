"""The common look of figures: colours for light and dark pages, plain axes, labels beside what they name."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

from rlvr.core.run_dir import write_bytes

DPI = 160
FORMATS = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Look:
    """Colours of a figure. series: one after the other for what is compared, told apart without red-green
    vision too (Okabe and Ito's palette, its yellow left out)."""

    background: str
    ink: str
    muted: str
    grid: str
    series: tuple[str, ...]

    def colour(self, index: int) -> str:
        """Of the index-th series; they repeat after the last."""
        return self.series[index % len(self.series)]


LOOKS = {
    "light": Look(
        "#ffffff", "#1d2129", "#626b79", "#e3e6ea",
        ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1d2129"),
    ),
    "dark": Look(
        "#14171c", "#e8eaed", "#9aa3af", "#2c313a",
        ("#56b4e9", "#f08c4a", "#2cc295", "#e39ac4", "#f0b840", "#8fa8ff", "#e8eaed"),
    ),
}  # fmt: skip


@contextmanager
def drawing(
    path: Path,
    look: Look,
    size: tuple[float, float],
    widths: Sequence[float] = (1.0,),
    formats: Sequence[str] = (),
) -> Iterator[list[Axes]]:
    """Axes side by side, of these relative widths, to draw on; saved to `path` when the block ends.

    size: inches. The path's suffix (one of FORMATS) is the format; `formats` are those of more files
    beside it.
    """
    style: dict[Any, Any] = {  # its keys' type is a Literal of all there are
        "text.parse_math": False,  # names of runs and problems may hold any character
        "font.family": "sans-serif", "font.size": 9.5, "svg.fonttype": "none", "svg.hashsalt": "rlvr",
        "figure.facecolor": look.background, "axes.facecolor": look.background,
        "text.color": look.ink, "axes.labelcolor": look.ink, "axes.titlecolor": look.ink,
        "axes.titlelocation": "left", "axes.titlesize": 10.5, "axes.titleweight": "bold", "axes.titlepad": 10,
        "axes.edgecolor": look.muted, "axes.linewidth": 0.8, "axes.axisbelow": True,
        "axes.spines.top": False, "axes.spines.right": False,
        "axes.grid": True, "axes.grid.axis": "y", "grid.color": look.grid, "grid.linewidth": 0.8,
        "xtick.color": look.muted, "ytick.color": look.muted, "xtick.labelcolor": look.ink,
        "ytick.labelcolor": look.ink, "ytick.major.size": 0, "lines.solid_capstyle": "round",
    }  # fmt: skip
    with matplotlib.rc_context(style):
        figure = Figure(figsize=size, dpi=DPI, layout="constrained")
        yield list(figure.subplots(1, len(widths), squeeze=False, width_ratios=list(widths))[0])
        for file in (path, *(path.with_suffix(suffix) for suffix in formats)):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=file.suffix.removeprefix("."), metadata=_undated(file))
            write_bytes(file, buffer.getvalue())


class EndLabel(NamedTuple):
    """A text beside the last point (x, y) of a curve. sample: how the curve is drawn, as keywords of plot;
    then a piece of it stands before the text, which has the colour of all text."""

    x: float
    y: float
    text: str
    colour: str
    sample: Mapping[str, Any] | None = None


def label_ends(axes: Axes, labels: Sequence[EndLabel], size: float = 9.5) -> None:
    """Writes the labels in one column right of the axes, near their curves' ends and clear of each other,
    and no higher or lower than the axes if they all fit.

    The axes' limits must be final.
    """
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]  # so that the axes have their height
    low, high = axes.get_ylim()
    line = 1.3 * size / 72 * axes.figure.dpi / axes.bbox.height * (high - low)
    order = sorted(labels, key=lambda label: label.y)
    places = spread([label.y for label in order], line, (low + line / 2, high - line / 2))
    right = axes.get_yaxis_transform()  # x: the share of the axes' width, y: data
    for label, place in zip(order, map(float, places), strict=True):
        beside = label.text
        if label.sample is not None:
            axes.plot([1.03, 1.06, 1.09], [place] * 3, transform=right, clip_on=False, scalex=False,
                      scaley=False, **{**label.sample, "markevery": [1]})  # fmt: skip
            axes.text(1.11, place, label.text, transform=right, size=size, va="center")
            beside = ""
        axes.annotate(
            beside, (label.x, label.y), (1.0 if beside else 1.025, place), textcoords=right,
            color=label.colour, size=size, va="center", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": label.colour, "lw": 0.7, "alpha": 0.6,
                        "relpos": (0, 0.5), "shrinkA": 1, "shrinkB": 4},
        )  # fmt: skip


def spread(places: ArrayLike, gap: float, within: tuple[float, float] | None = None) -> NDArray[np.float64]:
    """[n] sorted places, moved as little as possible (least squares) until neighbours are a gap apart.

    within: the bounds of all places, where there is room for them. With i * gap taken off the i-th place,
    "a gap apart" is "not decreasing": isotonic regression, whose bounded solution is the clipped one.
    """
    wanted = np.asarray(places, dtype=np.float64)
    steps = gap * np.arange(wanted.size)
    found = np.asarray(isotonic_regression(wanted - steps).x)
    if within is not None and (room := within[1] - steps[-1]) >= within[0]:
        found = np.clip(found, within[0], room)
    return found + steps


def log2_axis(axes: Axes, largest: int) -> None:
    """k at powers of two; every second one where there are many."""
    axes.set_xscale("log", base=2)
    axes.set_xlim(0.9, largest * 1.13)
    powers = [2**i for i in range(largest.bit_length()) if 2**i <= largest]
    axes.xaxis.set_major_locator(FixedLocator(powers[:: 1 if len(powers) < 13 else 2]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda k, _: f"{k:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _undated(path: Path) -> dict[str, None]:
    """Metadata without the day, so that equal figures are equal files."""
    return {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix, {})
