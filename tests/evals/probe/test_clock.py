"""A clock that jumps back holds nothing up for good, and loses nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from evals.probe import beside
from evals.probe.beside import Watch
from evals.probe.layouts import Found
from evals.records.probe_dir import ProbeDir
from rlvr.core.progress import plain_console


def test_a_checkpoint_from_the_future_is_taken_once_it_is_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock was set back by an hour after its files were written."""
    found = Found(5, tmp_path / "step", "trl", "", time.time() + 3600)
    monkeypatch.setattr(beside, "checkpoints", lambda *_: [found])
    taken: list[Found] = []
    monkeypatch.setattr(Watch, "_take", lambda self, one: taken.append(one))
    watch = Watch(tmp_path, ProbeDir(tmp_path / "run"), 0.1, plain_console(quiet=True))
    assert watch.look() == [found] and not taken
    time.sleep(0.12)
    assert watch.look() == [] and taken == [found]
