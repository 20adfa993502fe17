"""The confined side of a worker: imports a function once, then forks a process for every call.

Started by `rlvr.sandbox.worker` as an interpreter of its own, with no environment. The process of a
call is restricted for good before it sees its arguments, has no way to reach the next call, and is
killed after its answer or at its deadline. So an answer that runs as code can spoil nothing but its own
result, and what it breaks need not be imported again.

Requests: {"seconds": float, "output_bytes": int, "bytes": int} and that many bytes, the JSON list of
arguments.
Replies: {"status": ready | failed | ok | raised | died | timed_out | too_long, "bytes": int} and bytes.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from rlvr.sandbox import landlock, seccomp

OPEN_FILES = 64
_PR_SET_PDEATHSIG = 1
_OK, _RAISED = b"+", b"-"


def main(settings: Mapping[str, Any]) -> None:
    """Serves calls until standard input ends."""
    requests, replies = _take_over_standard_streams()
    try:
        if settings["dies_with"] is not None:
            _die_with(settings["dies_with"])
        _limit(settings)
        if settings["landlock"] is not None:
            landlock.restrict(settings["landlock"], ["/dev/null", os.environ["TMPDIR"]])
        module, _, name = settings["function"].partition(":")
        function = getattr(importlib.import_module(module), name)
        if settings["warm_up"] is not None:
            function(*settings["warm_up"])
    except BaseException:
        _reply(replies, "failed", traceback.format_exc().encode())
        return
    gc.collect()
    gc.freeze()  # what is imported stays shared with the forked processes
    _reply(replies, "ready")
    while line := requests.readline():
        request = json.loads(line)
        _reply(replies, *_call(function, requests.read(request["bytes"]), request, settings))


def _take_over_standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """The parent's pipes, moved out of the way of whatever reads or prints; /dev/null in their place."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    return requests, replies


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the request was heard
        os._exit(1)


def _limit(settings: Mapping[str, Any]) -> None:
    memory = settings["memory_mb"] << 20
    for which, bound in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, settings["printed_bytes"]),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(which, (bound, bound))


def _call(
    function: Callable[..., Any], arguments: bytes, request: Mapping[str, Any], settings: Mapping[str, Any]
) -> tuple[str, bytes]:
    """One call in a process of its own: (status, result)."""
    deadline = time.monotonic() + request["seconds"]
    result, own_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _answer(function, arguments, own_end, settings)
        finally:
            os._exit(1)
    os.close(own_end)
    try:
        return _collect(result, deadline, request["output_bytes"])
    finally:
        os.close(result)
        with contextlib.suppress(ProcessLookupError):
            (os.kill if settings["seccomp"] else _kill_group)(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _kill_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
    os.kill(pid, number)


def _answer(function: Callable[..., Any], arguments: bytes, result: int, settings: Mapping[str, Any]) -> None:
    """Runs in the process of the call; never returns."""
    os.dup2(result, 3)
    os.closerange(4, OPEN_FILES)
    for stream in (0, 1):  # bounded by RLIMIT_FSIZE, and gone with the process
        os.dup2(_scratch(), stream)
    os.dup2(1, 2)
    os.closerange(4, OPEN_FILES)
    if settings["seccomp"]:
        _die_with(os.getppid())
    else:
        os.setpgid(0, 0)
    cpu = settings["cpu_seconds"]
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
    if settings["seccomp"]:
        seccomp.install()
    try:
        reply = _OK + json.dumps(function(*json.loads(arguments))).encode()
    except BaseException as error:
        reply = _RAISED + f"{type(error).__name__}: {error}".encode(errors="replace")[:1000]
    view = memoryview(reply)
    while view:
        view = view[os.write(3, view) :]
    os._exit(0)


def _scratch() -> int:
    """A file that exists in memory alone; /dev/null where the system has no such thing."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("scratch")
    return os.open(os.devnull, os.O_RDWR)


def _collect(result: int, deadline: float, most: int) -> tuple[str, bytes]:
    """Reads what the call's process says of itself, until it ends, talks too long or is out of time."""
    poll = select.poll()
    poll.register(result, select.POLLIN)
    said = bytearray()
    while (left := deadline - time.monotonic()) > 0:
        if not poll.poll(left * 1000):
            continue
        part = os.read(result, 1 << 16)
        if not part:
            break
        said += part
        if len(said) > most:
            return "too_long", b""
    else:
        return "timed_out", b""
    return {_OK: "ok", _RAISED: "raised"}.get(bytes(said[:1]), "died"), bytes(said[1:])


def _reply(replies: BinaryIO, status: str, content: bytes = b"") -> None:
    replies.write(json.dumps({"status": status, "bytes": len(content)}).encode() + b"\n" + content)
    replies.flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
