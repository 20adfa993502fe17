"""Workers without a parent, and where nothing confines them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from rlvr.sandbox import (
    Confinement,
    ConfinementError,
    Limits,
    TimedOut,
    WorkerError,
    WorkerPool,
    choose,
)

# A call ends after a second.
LIMITS = Limits(seconds=1.0, memory_mb=256)
PARENT = """
import sys, threading, time
from rlvr.sandbox import Confinement, Limits, WorkerPool
pool = WorkerPool("hostile_functions:wait", 1, Limits(seconds=600), confinement=Confinement(sys.argv[1]))
pool.call(0)
thread = threading.Thread(target=pool.call, args=(600,), daemon=True)
thread.start()
time.sleep(0.3)
print(*[pid for worker in pool._started for pid in worker.processes()], flush=True)
{end}
"""


@pytest.mark.parametrize("end", ["time.sleep(600)", "sys.exit()"])
def test_no_worker_survives_its_parent(confinement: Confinement, end: str) -> None:
    """A parent that is killed takes a busy worker with it, and so does one that ends."""
    program = textwrap.dedent(PARENT.format(end=end))
    parent = subprocess.Popen(
        [sys.executable, "-c", program, confinement.name],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert parent.stdout
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) >= 2  # the worker and the call
    if end != "sys.exit()":
        parent.kill()
    parent.wait(timeout=20)
    deadline = time.monotonic() + 5
    while any(map(exists, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [pid for pid in pids if exists(pid)]


def exists(pid: int) -> bool:
    try:
        return b"hostile_functions" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_where_nothing_confines_code_is_refused_or_runs_with_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlvr.sandbox.choice.tested", lambda confinement: ("no such thing",))
    with pytest.raises(ConfinementError, match=r"bubblewrap: no such thing.*apt install bubblewrap"):
        choose()
    with pytest.warns(UserWarning, match="unconfined"):
        unsafe = choose(allow_unsafe=True)
    assert unsafe.name == "unsafe"
    pool = WorkerPool("hostile_functions:evaluate", 1, LIMITS, confinement=unsafe)
    assert pool.call("1 + 1") == 2
    with pytest.raises(TimedOut):
        pool.call("9**9**9")
    with pytest.raises(WorkerError, match="MemoryError"):
        pool.call("'a' * 10**10")
    assert pool.call("2 + 2") == 4
    pool.close()
