"""What a confined process must not be able to do, tried for real: `attempt` inside, `faults` outside."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from rlvr.sandbox.limits import Limits
from rlvr.sandbox.mechanisms import Confinement
from rlvr.sandbox.worker import CallFailed, StartError, TimedOut, Worker, WorkerError

SECONDS_TO_HANG = 0.2
SECONDS_TO_DIE = 2.0


def _read(canary: str) -> None:
    Path(canary).read_bytes()


def _list(canary: str) -> None:
    os.listdir(Path(canary).parent)


def _write(canary: str) -> None:
    Path(canary).write_text("overwritten")


def _create(canary: str) -> None:
    Path(canary).with_name("created").write_text("created")


def _create_in_tmp(_: str) -> None:
    tempfile.TemporaryFile(dir="/tmp").close()


def _change_mode(canary: str) -> None:
    os.chmod(canary, 0o777)


def _delete(canary: str) -> None:
    os.unlink(canary)


def _connect(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=1).close()


def _signal(pid: int) -> None:
    os.kill(pid, 0)


def _look_at(pid: int) -> None:
    Path(f"/proc/{pid}/cmdline").read_bytes()


def _fork(_: int) -> None:
    if os.fork() == 0:
        os._exit(0)


def _execute(program: str) -> None:
    subprocess.run([program, "-c", ""], check=True)


def _raise_limit(_: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _outlive(_: int) -> None:
    """Leaves a child in a session of its own if it can, and does not end."""
    try:
        if os.fork() == 0:
            os.setsid()
    finally:
        while True:
            time.sleep(1)


ATTEMPTS: Mapping[str, Callable[..., None]] = {
    "read a file of the host": _read,
    "list a directory of the host": _list,
    "overwrite a file of the host": _write,
    "create a file on the host": _create,
    "create a file in /tmp": _create_in_tmp,
    "change the mode of a file": _change_mode,
    "delete a file of the host": _delete,
    "open a network connection": _connect,
    "signal another process": _signal,
    "look at another process": _look_at,
    "start a process": _fork,
    "execute a program": _execute,
    "raise its memory limit": _raise_limit,
    "outlive its kill": _outlive,
}


def attempt(what: str, target: str | int) -> None:
    """Inside: returns if the forbidden thing worked, raises if not."""
    ATTEMPTS[what](target)


def faults(confinement: Confinement) -> list[str]:
    """Outside: what a process under this confinement can do and must not; empty if it holds.

    A confinement that does not start is at fault with its own message.
    """
    with tempfile.TemporaryDirectory() as directory, socket.create_server(("127.0.0.1", 0)) as server:
        canary = Path(directory) / "canary"
        canary.write_text("secret")
        targets: dict[str, str | int] = {
            "open a network connection": server.getsockname()[1],
            "signal another process": os.getpid(),
            "look at another process": os.getpid(),
            "execute a program": "/bin/sh",
        }
        try:
            worker = Worker(f"{__name__}:attempt", confinement, Limits(seconds=1.0), packages=False)
        except StartError as error:
            return [str(error)]
        try:
            found = [what for what in ATTEMPTS if _works(worker, what, targets.get(what, str(canary)))]
        except CallFailed as error:
            return [f"the worker failed: {error}"]
        finally:
            worker.kill()
        if _survivors(worker) and "outlive its kill" not in found:
            found.append("outlive its kill")
        if os.listdir(directory) != ["canary"] or canary.read_text() != "secret":
            found.append("leave a trace on the host")
        return found


def _works(worker: Worker, what: str, target: str | int) -> bool:
    """Whether the attempt went through. What should be refused must be refused in time and in words."""
    try:
        worker.call([what, target], SECONDS_TO_HANG if what == "outlive its kill" else None)
    except WorkerError:
        return False
    except TimedOut:
        return what != "outlive its kill"
    return True


def _survivors(worker: Worker) -> list[int]:
    """Processes of a killed worker that are still there; they are killed then."""
    deadline = time.monotonic() + SECONDS_TO_DIE
    while (left := worker.processes()) and time.monotonic() < deadline:
        time.sleep(0.01)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return left
