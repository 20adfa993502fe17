"""Labels of figures stand clear of each other; equal figures are equal files."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy.optimize import minimize

from evals.reports.figures import FORMATS, LOOKS, EndLabel, drawing, label_ends, spread

PLACES = st.lists(st.floats(0, 100), min_size=1, max_size=6).map(sorted)


@given(PLACES, st.floats(0.1, 20))
def test_places_end_up_a_gap_apart_with_their_mean_kept(places: list[float], gap: float) -> None:
    moved = spread(places, gap)
    assert (np.diff(moved) >= gap - 1e-9).all()
    assert moved.mean() == pytest.approx(np.mean(places), abs=1e-9)


def test_places_that_are_apart_stay() -> None:
    assert spread([1, 5, 9], 4).tolist() == [1, 5, 9]


@given(PLACES, st.floats(0.1, 15))
def test_places_stay_within_their_bounds_where_there_is_room(places: list[float], gap: float) -> None:
    moved = spread(places, gap, (10, 90))
    assert (np.diff(moved) >= gap - 1e-9).all()
    assert moved.min() >= 10 - 1e-9 and moved.max() <= 90 + 1e-9


def test_bounds_without_room_are_no_bounds() -> None:
    assert spread([1, 2, 3], 10, (0, 19)).tolist() == spread([1, 2, 3], 10).tolist()


def test_bounded_places_move_as_little_as_a_general_optimizer_finds() -> None:
    places, gap = np.array([1.0, 2.0, 40.0, 88.0, 89.0]), 4.0
    apart = {"type": "ineq", "fun": lambda x: np.diff(x) - gap}
    start = gap * np.arange(5) + 30
    best = minimize(lambda x: ((x - places) ** 2).sum(), start, bounds=[(3, 90)] * 5, constraints=[apart])
    np.testing.assert_allclose(spread(places, gap, (3, 90)), best.x, atol=1e-4)


def test_places_move_as_little_as_a_general_optimizer_finds() -> None:
    places, gap = np.array([10.0, 11.0, 11.5, 30.0, 31.0]), 3.0
    apart = {"type": "ineq", "fun": lambda x: np.diff(x) - gap}
    best = minimize(lambda x: ((x - places) ** 2).sum(), gap * np.arange(5) + 10, constraints=[apart])
    np.testing.assert_allclose(spread(places, gap), best.x, atol=1e-4)


def test_labels_of_curves_that_end_together_do_not_overlap() -> None:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(0, 10), ylim=(0, 100))
    label_ends(axes, [EndLabel(10, y, f"curve {y}", "black") for y in (50, 50.5, 51, 49, 80)])
    figure.draw_without_rendering()
    # An annotation's own extent has its line in it.
    boxes = sorted((Text.get_window_extent(text) for text in axes.texts), key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 for low, high in itertools.pairwise(boxes))
    assert all(box.x0 >= axes.bbox.x1 - 1 and box.x1 <= figure.bbox.x1 for box in boxes)


def test_a_sample_of_the_curve_stands_before_its_name_and_leaves_the_limits() -> None:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(0, 10), ylim=(0, 100))
    label_ends(axes, [EndLabel(10, y, f"curve {y}", "red", {"color": "red", "lw": 2}) for y in (50, 51)])
    figure.draw_without_rendering()
    assert (axes.get_xlim(), axes.get_ylim()) == ((0, 10), (0, 100))
    texts = [text for text in axes.texts if text.get_text()]
    for text, sample in zip(texts, axes.lines, strict=True):
        assert sample.get_color() == "red" and text.get_color() != "red"
        box = text.get_window_extent()
        assert sample.get_window_extent().x1 <= box.x0 and box.x1 <= figure.bbox.x1
        assert box.y0 < sample.get_window_extent().y0 < box.y1


def test_one_figure_is_written_in_several_formats(tmp_path: Path) -> None:
    with drawing(tmp_path / "a.b.svg", LOOKS["light"], (3, 2), formats=(".png",)) as (axes,):
        axes.plot([1, 2], [3, 4])
    assert {path.name for path in tmp_path.iterdir()} == {"a.b.svg", "a.b.png"}
    assert (tmp_path / "a.b.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("theme", LOOKS)
def test_equal_figures_are_equal_files(tmp_path: Path, suffix: str, theme: str) -> None:
    files = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for file in files:
        with drawing(file, LOOKS[theme], (3, 2), (2, 1)) as (left, right):
            left.plot([1, 2], [3, 4])
            right.set_title("other")
    assert files[0].read_bytes() == files[1].read_bytes()
