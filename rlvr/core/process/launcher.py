"""A process whose launcher is gone ends: it is told as by SIGTERM, and killed where it does not end by that.

A launcher that is killed alone (`accelerate launch`, torchrun, DeepSpeed's, the study) leaves the processes
that it started behind; nobody watches them, and they would keep GPUs and run directory. Two things tell them:
the parent-death signal of Linux, and a thread that looks whether the launcher is still there.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from rlvr.core.errors import INTERRUPTED

# Of a launcher that is not the parent, or that sets no variable of its own: PID, or PID:START of its process.
LAUNCHER = "RLVR_LAUNCHER"
# What launchers set for the processes that they start.
VARIABLES = ("TORCHELASTIC_RUN_ID", "ACCELERATE_MIXED_PRECISION", "CROSS_RANK")
# Parts of the command lines of launchers.
COMMANDS = ("accelerate", "torchrun", "torch.distributed", "deepspeed")
# Seconds between looks, and from the moment that the launcher is gone until the process is killed.
PATIENCE = 1.0
GRACE = 45.0
# Exit status of a process that did not end in time.
STATUS = 1
_PR_SET_PDEATHSIG = 1
# Launchers of this process, each with when it was started.
_watched: dict[int, str] = {}


def end_with_launcher(grace: float = GRACE) -> None:
    """From now on, if a launcher started this process: when it is gone, SIGTERM, and the end after `grace`
    seconds. Call it from the main thread, before anything heavy is loaded."""
    watched = launchers(os.environ)
    if not watched:
        return
    _watched.update(watched)
    parent = os.getppid()
    told = parent in watched and sys.platform == "linux"
    if told:  # by the kernel, at once
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        told = os.getppid() == parent  # else it died before the request was heard
    threading.Thread(target=_watch, args=(watched, parent, told, grace), daemon=True, name="launcher").start()


def leave(status: int) -> NoReturn:
    """Ends the process with this exit status: at once where it was stopped or its launcher is gone, since the
    interpreter's own end may wait for processes that are gone, and no thread watches it any more."""
    if _watched and (status == INTERRUPTED or _is_gone(_watched, 0)):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def launchers(environment: Mapping[str, str]) -> dict[int, str]:
    """Processes that started this one as launchers do, each with when it was started."""
    found: dict[int, str] = {}
    if named := environment.get(LAUNCHER):
        number, _, start = named.partition(":")
        if number.isdigit():
            found[int(number)] = start or started(int(number))
    parent = os.getppid()
    if any(name in environment for name in VARIABLES) and _is_launcher(parent):
        found[parent] = started(parent)
    return found


def this_launcher() -> dict[str, str]:
    """For the environment of processes that are to end with this one."""
    return {LAUNCHER: f"{os.getpid()}:{started(os.getpid())}"}


def started(process: int) -> str:
    """When a process was started, in ticks since boot, so that another of its number is told apart; "" where
    there is none, or no /proc."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _is_launcher(process: int) -> bool:
    """By its command line; without /proc the environment's word is taken."""
    if not Path("/proc/self/cmdline").exists():
        return True
    try:
        words = Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return False
    return any(command in words for command in COMMANDS)


def _is_gone(watched: Mapping[int, str], parent: int) -> bool:
    if parent in watched and os.getppid() != parent:
        return True
    return any(not _is_there(process, start) for process, start in watched.items())


def _is_there(process: int, start: str) -> bool:
    if start:
        return started(process) == start
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _watch(watched: Mapping[int, str], parent: int, told: bool, grace: float) -> None:
    while not _is_gone(watched, parent):
        time.sleep(PATIENCE)
    print(
        "the launcher of this process is gone: the running step is finished and saved, then it ends",
        file=sys.stderr,
        flush=True,
    )
    if not (told and os.getppid() != parent):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    time.sleep(grace)
    print(
        f"the launcher is gone and the running step did not end within {grace:.0f} s: ended without saving "
        "it. The last checkpoint counts: give the same command again to go on from it.",
        file=sys.stderr,
        flush=True,
    )
    os._exit(STATUS)
