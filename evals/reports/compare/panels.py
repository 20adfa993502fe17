"""One panel: a small figure of its own, beside the page as a file and in it as SVG."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes

from evals.reports.compare.arms import Arm
from evals.reports.figures import LOOKS, Look, drawing

# Inches; the page shows an inch as 77 to 105 pixels, so that 9 points are 10 to 13 pixels.
WIDTH, HEIGHT = 4.3, 3.0
SMALL = (3.4, 2.5)
# The last colour of a look is its ink, which the base has.
COLOURS = len(LOOKS["light"].series) - 1
MARKERS = "os^Dvp"
DASHES = ("-", (0, (4, 1.5)), (0, (1.5, 1.5)))
PAGE_COLOURS = LOOKS["light"]


@dataclass(frozen=True)
class Panel:
    """name: of its files, without suffix. about: what it shows, for readers who cannot see it."""

    name: str
    about: str
    draw: Callable[[Axes, Look], None]
    size: tuple[float, float] = (WIDTH, HEIGHT)


@dataclass(frozen=True)
class Line:
    """How an arm, or the base, is drawn wherever it stands."""

    colour: str
    marker: str
    dash: str | tuple[int, tuple[float, float]]


def line_of(arm: Arm, look: Look) -> Line:
    """Beyond the colours there are, they come again with other dashes."""
    index, again = arm.index % COLOURS, arm.index // COLOURS
    return Line(look.colour(index), MARKERS[index], DASHES[again % len(DASHES)])


def line_of_base(look: Look) -> Line:
    return Line(look.ink, "", (0, (5, 2)))


def write(panel: Panel, directory: Path) -> str:
    """Writes the panel as .png, .pdf and .svg, and returns it as SVG for a page whose style sheet has
    `colour_names`."""
    path = directory / f"{panel.name}.svg"
    with drawing(path, PAGE_COLOURS, panel.size, formats=(".png", ".pdf")) as (axes,):
        panel.draw(axes, PAGE_COLOURS)
    return for_page(path.read_text(), panel)


def colour_names(look: Look) -> dict[str, str]:
    """CSS variable -> colour, the same names in every look."""
    series = {f"--series-{i}": colour for i, colour in enumerate(look.series[:COLOURS])}
    return {"--page": look.background, "--ink": look.ink, "--muted": look.muted, "--grid": look.grid} | series


def for_page(svg: str, panel: Panel) -> str:
    """The SVG with the page's colour variables for its colours, its own ids, and nothing but the drawing:
    a style sheet in it would be the whole page's."""
    root = ET.fromstring(svg)
    for element in root.iter():
        element.tag = _local(element.tag)
        element.attrib = {
            _local(key): _adapt(_local(key), value, panel.name) for key, value in element.attrib.items()
        }
    for parent in [*root.iter()]:
        for element in [child for child in parent if child.tag in ("metadata", "style")]:
            parent.remove(element)
    box = root.attrib["viewBox"]
    root.attrib = {"viewBox": box, "role": "img", "aria-label": panel.about}
    return ET.tostring(root, encoding="unicode")


def _local(name: str) -> str:
    """Without its namespace, which HTML knows by itself."""
    return name.rpartition("}")[2]


def _adapt(key: str, value: str, owner: str) -> str:
    if key == "id":
        return f"{owner}-{value}"
    if key == "href":
        return value.replace("#", f"#{owner}-", 1)
    value = value.replace("url(#", f"url(#{owner}-")
    if key not in ("style", "fill", "stroke"):
        return value
    return re.sub(r"#[0-9a-f]{6}\b", lambda found: _variable(found[0]), value)


def _variable(colour: str) -> str:
    known: Mapping[str, str] = {value: name for name, value in colour_names(PAGE_COLOURS).items()}
    return f"var({known[colour]})" if colour in known else colour
