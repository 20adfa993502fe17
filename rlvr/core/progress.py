"""Progress with an ETA: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

# Seconds between lines where there is no terminal.
LINE_EVERY = 15.0


def plain_console(**settings: Any) -> Console:
    """A console that prints what it is given: `run[1]` and `:x:` in somebody's names are no markup."""
    return Console(markup=False, emoji=False, **settings)


class Display:
    """How far a piece of work has come."""

    def __init__(self, title: str, total: int, completed: int, console: Console):
        self.title, self.total, self.completed = title, total, completed
        self.console = console
        self._first = completed
        self._begun = self._last_line = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.fields[title]:<20}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
            disable=console.quiet or not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=total, completed=completed, title=title, note="")

    def advance(self, amount: int, note: str = "") -> None:
        """So much more is done; the note stands beside the bar."""
        self.completed += amount
        self._bar.update(self._task, completed=self.completed, note=note)
        now = time.monotonic()
        done = self.completed >= self.total
        if not self.console.is_terminal and (done or now - self._last_line >= LINE_EVERY):
            left = (now - self._begun) / (self.completed - self._first) * (self.total - self.completed)
            position = f"{self.title} {self.completed}/{self.total}"
            self.console.print(f"{position}  ETA {left:.0f} s  {note}".rstrip(), highlight=False)
            self._last_line = now


@contextmanager
def progress(title: str, total: int, console: Console | None = None, completed: int = 0) -> Iterator[Display]:
    """Shows the work of the block; total and completed in any unit."""
    display = Display(title, total, completed, console or plain_console(stderr=True))
    with display._bar:
        yield display
