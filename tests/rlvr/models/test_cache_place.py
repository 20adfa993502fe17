"""Where the embedded base can be kept nowhere, that is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlvr.core.errors import exit_status
from rlvr.models import tiny_base


def test_a_cache_below_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RLVR_CACHE", str(tmp_path / "file" / "cache"))
    assert exit_status(lambda: print(tiny_base.embedded_base("countdown-untrained"))) == 1
    said = capsys.readouterr().err
    assert "has a file where a directory should be" in said and str(tmp_path / "file") in said


def test_neither_a_cache_nor_a_home(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def homeless(self: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("RLVR_CACHE", raising=False)
    monkeypatch.setattr(Path, "expanduser", homeless)
    assert exit_status(lambda: print(tiny_base.embedded_base("countdown-untrained"))) == 1
    assert "set RLVR_CACHE to a directory, or HOME to yours" in capsys.readouterr().err
