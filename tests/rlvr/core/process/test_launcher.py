"""A process ends when what launched it is gone, and only then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlvr.core.process.launcher import LAUNCHER, launchers, started, this_launcher

# Handles SIGTERM as a trainer does, or does not; says that it is there, and how it ended.
CHILD = """
import os, signal, sys, time
from rlvr.core.process import launcher
launcher.PATIENCE = 0.05
handled = []
if {heeds}:
    signal.signal(signal.SIGTERM, lambda number, frame: handled.append(number))
else:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
launcher.end_with_launcher(grace=0.5)
print(os.getpid(), flush=True)
while not handled:
    time.sleep(0.02)
open(sys.argv[1], "w").write(str(len(handled)))
"""
# Waits for the child; its command line has the word "accelerate" in it where it is a launcher.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]], stdout=subprocess.PIPE, text=True)
print(child.stdout.readline(), flush=True)
time.sleep(600)
"""


def exists(process: int) -> bool:
    return bool(started(process)) and "Z" not in Path(f"/proc/{process}/stat").read_text().split(")")[1][:3]


def ended(process: int, within: float = 20) -> bool:
    deadline = time.monotonic() + within
    while exists(process) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not exists(process)


def launched(tmp_path: Path, heeds: bool = True, word: str = "accelerate", **environment: str) -> tuple[
    subprocess.Popen[str], int
]:  # fmt: skip
    command = [sys.executable, "-c", PARENT, CHILD.format(heeds=heeds), str(tmp_path / "ended"), word]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | environment)
    assert parent.stdout
    return parent, int(parent.stdout.readline())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_it_is_told_once_when_its_launcher_is_gone(tmp_path: Path, number: int) -> None:
    parent, child = launched(tmp_path, TORCHELASTIC_RUN_ID="1")
    parent.send_signal(number)
    parent.wait()
    assert ended(child) and (tmp_path / "ended").read_text() == "1"


def test_one_that_does_not_heed_it_is_ended(tmp_path: Path) -> None:
    parent, child = launched(tmp_path, heeds=False, ACCELERATE_MIXED_PRECISION="no")
    parent.kill()
    parent.wait()
    assert ended(child) and not (tmp_path / "ended").exists()


def test_a_launcher_further_up_is_watched_too(tmp_path: Path) -> None:
    """As the study's, which starts `accelerate launch`."""
    further = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    parent, child = launched(tmp_path, word="", **{LAUNCHER: f"{further.pid}:{started(further.pid)}"})
    further.kill()
    further.wait()
    assert ended(child)
    parent.kill()
    parent.wait()


@pytest.mark.parametrize(
    ("word", "environment"), [("", {"ACCELERATE_MIXED_PRECISION": "no"}), ("accelerate", {})]
)
def test_without_a_launcher_it_outlives_its_parent(
    tmp_path: Path, word: str, environment: dict[str, str]
) -> None:
    """As under nohup, from a shell that ends, whatever its environment or its name."""
    parent, child = launched(tmp_path, word=word, **environment)
    parent.kill()
    parent.wait()
    time.sleep(0.5)
    assert exists(child)
    os.kill(child, signal.SIGTERM)
    assert ended(child)


def test_a_process_of_the_same_number_is_another() -> None:
    own = this_launcher()[LAUNCHER]
    assert launchers({LAUNCHER: own}) == {os.getpid(): started(os.getpid())}
    assert own == f"{os.getpid()}:{started(os.getpid())}" and started(2**22 + 1) == ""
