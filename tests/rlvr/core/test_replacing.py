"""Files come into place whole, and what dead processes left of them goes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rlvr.core.replacing import remove_litter, write_bytes

# Locks the file as one that is being written, until it is killed.
WRITER = """
import fcntl, sys, time
file = open(sys.argv[1], "wb")
fcntl.flock(file, fcntl.LOCK_EX)
print(1, flush=True)
time.sleep(600)
"""


def test_only_what_nobody_writes_is_litter(tmp_path: Path) -> None:
    inner = tmp_path / "probes"
    inner.mkdir()
    dead = [tmp_path / ".probe.jsonl.0a1b2c3d", inner / ".countdown-3.parquet.ffffffff"]
    others = [
        tmp_path / ".lock",
        tmp_path / ".wandb.json",
        tmp_path / ".probe.jsonl.0a1b2c3d4",
        inner / "a.parquet",
    ]
    for path in (*dead, *others):
        path.write_text("x")
    living = tmp_path / ".metrics.jsonl.12345678"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(living)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout and writer.stdout.readline()
        assert sorted(remove_litter(tmp_path, recursive=True)) == sorted(dead)
        assert living.exists()
        writer.kill()
    assert remove_litter(tmp_path) == [living]
    assert all(path.exists() for path in others)


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"old")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_text("")
    with pytest.raises(OSError, match="directory"):
        write_bytes(tmp_path / "b", b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
