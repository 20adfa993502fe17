"""What is printed is what was given: somebody's names are no markup."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.table import Table

from rlvr.core.progress import plain_console, progress
from rlvr.core.run_dir import RunDir
from rlvr.planning.recipe import load_config
from rlvr.tracking.monitor import Monitor

ROOT = Path(__file__).resolve().parents[3]
NAMES = ["a[/b]c", "x[red]", ":smile:", "{task}", "[bold]b[/bold]"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("terminal", [False, True])
def test_names_are_printed_as_they_are(name: str, terminal: bool) -> None:
    shown = io.StringIO()
    console = plain_console(file=shown, width=200, force_terminal=terminal, no_color=True)
    console.print(f"run {name}")
    table = Table("head", title=name, caption=name)
    table.add_row(name)
    console.print(table)
    with progress(name, 1, console) as display:
        display.advance(1, name)
    assert shown.getvalue().count(name) >= 5


@pytest.mark.parametrize("name", NAMES)
def test_a_monitor_warns_as_it_is_told(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monitor = Monitor(load_config(["recipe=grpo_tiny"]), RunDir(tmp_path))
    monitor.warn_once("a", name)
    monitor.print(name)
    assert capsys.readouterr().err.count(name) == 2


def test_no_other_console_is_made() -> None:
    files = [f for package in ("rlvr", "evals", "launch") for f in (ROOT / package).rglob("*.py")]
    makers = [f.name for f in files if re.search(r"(?<![\w_])Console\(", f.read_text())]
    assert makers == ["progress.py"]


def test_the_rest_includes_the_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """10 steps of 2 s each and 3 stops of which the first took 7 s: a stop is no part of a step's pace."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with progress("steps", 10, plain_console(file=io.StringIO()), stops=3) as display:
        for expected in ("18 s + 3 stops", "16 s + 3 stops"):
            now[0] += 2
            display.advance(1)
            assert display.eta() == expected
        now[0] += 7
        display.stopped(7)
        assert display.eta() == "30 s"  # 8 steps of 2 s, 2 stops of 7 s
        for _ in range(8):
            now[0] += 2
            display.advance(1)
        display.stopped(7)
        display.stopped(7)
        assert display.eta() == "0 s"
