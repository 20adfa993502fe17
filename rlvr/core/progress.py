"""Progress with an ETA: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

# Seconds between lines where there is no terminal.
LINE_EVERY = 15.0


def plain_console(**settings: Any) -> Console:
    """A console that prints what it is given: `run[1]` and `:x:` in somebody's names are no markup."""
    return Console(markup=False, emoji=False, **settings)


class Display:
    """How far a piece of work has come. stops: how often it is going to wait for something else."""

    def __init__(self, title: str, total: int, completed: int, console: Console, stops: int = 0):
        self.title, self.total, self.completed, self.stops = title, total, completed, stops
        self.console = console
        self._first = completed
        self._begun = self._last_line = time.monotonic()
        self._stopped: list[float] = []  # seconds of each stop so far
        self._bar = Progress(
            TextColumn("{task.fields[title]:<20}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("ETA {task.fields[eta]}", markup=False),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
            disable=console.quiet or not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=total, completed=completed, title=title, note="", eta="-")

    def advance(self, amount: int, note: str = "") -> None:
        """So much more is done; the note stands beside the bar."""
        self.completed += amount
        self._bar.update(self._task, completed=self.completed, note=note, eta=self.eta())
        now = time.monotonic()
        done = self.completed >= self.total
        if not self.console.is_terminal and (done or now - self._last_line >= LINE_EVERY):
            position = f"{self.title} {self.completed}/{self.total}"
            self.console.print(f"{position}  ETA {self.eta()}  {note}".rstrip(), highlight=False)
            self._last_line = now

    def stopped(self, seconds: float) -> None:
        """One of the stops is over; it took so long."""
        self.stops -= 1
        self._stopped.append(seconds)

    def eta(self) -> str:
        """What is left at the pace so far, with the stops to come at the mean of those that were."""
        busy = time.monotonic() - self._begun - sum(self._stopped)
        left = busy / max(1, self.completed - self._first) * (self.total - self.completed)
        stops = max(0, self.stops)
        if stops and not self._stopped:
            return f"{left:.0f} s + {stops} stop{'s' if stops > 1 else ''}"
        return f"{left + stops * sum(self._stopped) / max(1, len(self._stopped)):.0f} s"


@contextmanager
def progress(
    title: str, total: int, console: Console | None = None, completed: int = 0, stops: int = 0
) -> Iterator[Display]:
    """Shows the work of the block; total and completed in any unit. stops: see `Display`."""
    display = Display(title, total, completed, console or plain_console(stderr=True), stops)
    with display._bar:
        yield display
