"""The common look of tables on the console."""

from __future__ import annotations

from rich import box
from rich.table import Table

from evals.estimators.intervals.means import FEW_PROBLEMS


def table(title: str, *heads: str) -> Table:
    """The first column on the left, the others on the right."""
    made = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        min_width=min(len(title), 79),
    )
    for i, head in enumerate(heads):
        made.add_column(head, justify="right" if i else "left", no_wrap=True, overflow="fold")
    return made


def points(value: float | None, sign: str = "") -> str:
    """A fraction in points of 100; - where it was not estimated."""
    return "-" if value is None else f"{100 * value:{sign}.1f}"


def interval(low: float | None, high: float | None, sign: str = "") -> str:
    return "" if low is None or high is None else f"[{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]"


def rough(problems: int) -> str:
    """A warning where intervals over so few problems are not to be relied on; else empty."""
    if problems >= FEW_PROBLEMS:
        return ""
    return (
        f"! {problems} problems: intervals over fewer than {FEW_PROBLEMS} are rough, and rare values may not "
        "have been seen."
    )
