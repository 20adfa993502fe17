"""The confined side of a worker: imports a function once, then forks a process for every call.

Started by `rlvr.sandbox.worker` as an interpreter of its own, with no environment. The process of a
call is restricted for good before it sees its arguments, has no way to reach the next call, and is
killed after its answer or at its deadline. So an answer that runs as code can spoil nothing but its own
result, and what it breaks need not be imported again.

Requests: {"seconds": float, "output_bytes": int, "printed": bool, "bytes": int} and that many bytes, the
JSON list of arguments.
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
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from typing import Any, BinaryIO

from rlvr.sandbox import landlock, seccomp

OPEN_FILES = 64
_PR_SET_PDEATHSIG = 1
_OK, _RAISED = b"+", b"-"
_POLL_SECONDS = 0.0005


class _NamedPackages:
    """Finds single packages by their directories, without the directory that holds others as well."""

    def __init__(self, directories: Mapping[str, str]):
        self.directories = directories

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if (directory := self.directories.get(name)) is None:
            return None
        return spec_from_file_location(
            name, f"{directory}/__init__.py", submodule_search_locations=[directory]
        )


def main(settings: Mapping[str, Any]) -> None:
    """Serves calls until standard input ends."""
    requests, replies = _take_over_standard_streams()
    try:
        if settings["dies_with"] is not None:
            _die_with(settings["dies_with"])
        _limit(settings)
        if settings["landlock"] is not None:
            landlock.restrict(settings["landlock"], ["/dev/null", os.environ["TMPDIR"]])
        sys.meta_path.append(_NamedPackages(settings["packages"]))
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
    printed = _scratch() if request["printed"] else None
    pid = os.fork()
    if pid == 0:
        try:
            _answer(function, arguments, own_end, printed, settings)
        finally:
            os._exit(1)
    os.close(own_end)
    try:
        status, said = _collect(result, deadline, request["output_bytes"])
        if printed is not None and status in ("ok", "raised", "died"):
            return _what_was_printed(printed, pid, deadline, request["output_bytes"])
        return status, said
    finally:
        os.close(result)
        if printed is not None:
            os.close(printed)
        with contextlib.suppress(ProcessLookupError):
            (os.kill if settings["seccomp"] else _kill_group)(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _what_was_printed(printed: int, pid: int, deadline: float, most: int) -> tuple[str, bytes]:
    """Read by this process, which outlives the call's, in whatever way that ends."""
    while (end := os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is None:
        if time.monotonic() > deadline:
            return "timed_out", b""
        time.sleep(_POLL_SECONDS)
    ended = end.si_status if end.si_code == os.CLD_EXITED else -end.si_status
    length = os.fstat(printed).st_size
    if length > most:
        return "too_long", b""
    text = os.pread(printed, length, 0).decode(errors="replace")
    return "ok", json.dumps({"status": ended, "printed": text}).encode()


def _kill_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
    os.kill(pid, number)


def _answer(
    function: Callable[..., Any],
    arguments: bytes,
    result: int,
    printed: int | None,
    settings: Mapping[str, Any],
) -> None:
    """Runs in the process of the call; never returns."""
    _own_streams(result, printed)
    if settings["seccomp"]:
        _die_with(os.getppid())
    else:
        os.setpgid(0, 0)
    cpu = settings["cpu_seconds"]
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
    if settings["seccomp"]:
        seccomp.install()
    if printed is not None:
        os._exit(function(*json.loads(arguments)))
    try:
        reply = _OK + json.dumps(function(*json.loads(arguments))).encode()
    except BaseException as error:
        reply = _RAISED + f"{type(error).__name__}: {error}".encode(errors="replace")[:1000]
    view = memoryview(reply)
    while view:
        view = view[os.write(3, view) :]
    os._exit(0)


def _own_streams(result: int, printed: int | None) -> None:
    """Input and output of the call's own, nothing behind 2, and 3 for its result."""
    output = _scratch() if printed is None else printed
    streams = (
        _scratch(),
        output,
        os.open(os.devnull, os.O_RDWR),
        result,
    )  # above 3: the worker has more open
    for place, stream in enumerate(streams):  # bounded by RLIMIT_FSIZE, and gone with the process
        os.dup2(stream, place)
    os.closerange(4, OPEN_FILES)


def _scratch() -> int:
    """A file that exists in memory alone; /dev/null where the system has no such thing."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("scratch")
    return os.open(os.devnull, os.O_RDWR)


def _collect(result: int, deadline: float, most: int) -> tuple[str, bytes]:
    """Reads what the call's process says of itself, until it ends or exceeds its output or time limit."""
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
