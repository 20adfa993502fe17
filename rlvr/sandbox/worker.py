"""One confined worker process, seen from outside. `rlvr.sandbox.child` is the inside."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from rlvr.core.errors import UserError
from rlvr.sandbox.limits import Limits
from rlvr.sandbox.mechanisms import Confinement, installed_packages, interpreter

# Beyond its deadline a call has this long until its answer is given up and the whole worker is killed.
GRACE_SECONDS = 0.4
_HEADER_BYTES = 200
_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",  # sets have one order in every worker
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
_PROGRAM = (
    "import json, sys; settings = json.loads(sys.argv[1]); sys.path += settings['path'];"
    "from rlvr.sandbox.child import main; main(settings)"
)


class CallFailed(Exception):
    """A confined call gave no result."""


class TimedOut(CallFailed):
    """The call was killed at its deadline."""


class WorkerDied(CallFailed):
    """The call's process ended without a result: killed, hit a limit, or exited."""


class WorkerError(CallFailed):
    """The function raised; the message is the exception's type and text, which the call can forge."""


class StartError(UserError):
    """The worker never became ready; the message says why."""


# A process started with PR_SET_PDEATHSIG dies with the *thread* that started it, so one thread, which
# lives as long as this process, starts them all.
_starter = ThreadPoolExecutor(1, thread_name_prefix="confined")


def _new_starter() -> None:
    global _starter
    _starter = ThreadPoolExecutor(1, thread_name_prefix="confined")


os.register_at_fork(after_in_child=_new_starter)


class Worker:
    """Serves one call at a time. Not for several threads at once.

    function: "package.module:function", which takes and returns what JSON can hold.
    packages: whether installed packages may be imported and read, or the names of those that may, where
        they are installed; the function's own package always may.
    warm_up: see `WorkerPool`. Raises StartError.
    """

    def __init__(
        self,
        function: str,
        confinement: Confinement,
        limits: Limits,
        packages: bool | Sequence[str] = True,
        warm_up: Sequence[Any] | None = None,
    ):
        self.limits = limits
        self._token = secrets.token_hex(16)  # on the command line, so that its processes can be told
        self._owner = os.getpid()
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        own = _locations(function)
        path = [*dict.fromkeys(str(Path(place).parent) for place in own)]
        readable = list(own)
        named: dict[str, str] = {}
        if packages is True:
            path += installed_packages()
            readable += installed_packages()
        elif packages:
            named = _directories_of(packages)
            readable += [*named.values(), *_libraries_beside(named.values())]
        settings = {
            "token": self._token,
            "function": function,
            "path": path,
            "packages": named,
            "landlock": confinement.landlock(readable),
            "seccomp": confinement.filters_calls,
            "dies_with": os.getpid() if confinement.name == "landlock" else None,
            "warm_up": warm_up,
            "memory_mb": limits.memory_mb,
            "cpu_seconds": limits.cpu_seconds,
            "printed_bytes": limits.printed_bytes,
        }
        # No site, no user directory, no script directory on sys.path, no cached bytecode written.
        python = [interpreter(), "-s", "-S", "-P", "-B", "-X", "utf8", "-c", _PROGRAM, json.dumps(settings)]
        try:
            command = confinement.command(python, readable)
            environment = dict(_ENVIRONMENT)
            if confinement.name != "bubblewrap":  # there /tmp is the worker's own
                self._scratch = tempfile.TemporaryDirectory(prefix="rlvr-worker-", ignore_cleanup_errors=True)
                environment["TMPDIR"] = self._scratch.name
            self._process = _starter.submit(_start, command, environment).result()
        except OSError as error:
            raise StartError(str(error)) from None
        self._await_start()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def call(
        self,
        arguments: Sequence[Any],
        seconds: float | None = None,
        output_bytes: int | None = None,
        printed: bool = False,
    ) -> Any:
        """What the function returns. Raises CallFailed, at the latest 0.4 s after the deadline.

        printed: instead, once its process has ended in whatever way, {"status": its exit status, negative
        for a signal, "printed": what it printed}; the function returns the status.
        """
        seconds = self.limits.seconds if seconds is None else seconds
        output_bytes = self.limits.output_bytes if output_bytes is None else output_bytes
        deadline = time.monotonic() + seconds + GRACE_SECONDS
        content = json.dumps(arguments).encode()
        header = {
            "seconds": seconds, "output_bytes": output_bytes, "printed": printed, "bytes": len(content)
        }  # fmt: skip
        try:
            self._send(json.dumps(header).encode() + b"\n" + content, deadline)
            status, said = self._receive(deadline)
        except BaseException:  # an interrupt too: the reply would be taken for the next one's
            self.kill()
            raise
        if status == "ok":
            return _parse(said)
        if status == "timed_out":
            raise TimedOut(f"killed after {seconds:g} s")
        if status == "raised":
            raise WorkerError(said.decode(errors="replace"))
        if status == "too_long":
            raise WorkerDied(f"killed: its result has more than {output_bytes} bytes")
        raise WorkerDied("the process ended without a result")

    def processes(self) -> list[int]:
        """Processes of this worker that exist, the ended but unreaped left out; needs /proc."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self._token.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
        return found

    def kill(self) -> None:
        """Ends the worker with everything in it; left to its owner where this process was forked."""
        if self._owner != os.getpid():
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError):
                _opened(pipe).close()
        if self._scratch is not None:
            self._scratch.cleanup()

    def _await_start(self) -> None:
        try:
            status, said = self._receive(time.monotonic() + self.limits.start_seconds)
        except TimedOut:
            self.kill()
            raise StartError(f"not ready after {self.limits.start_seconds:g} s") from None
        except WorkerDied:
            self._process.kill()
            errors = _opened(self._process.stderr).read().decode(errors="replace").strip()
            self.kill()
            raise StartError(errors or "the process ended at once") from None
        except BaseException:
            self.kill()
            raise
        if status != "ready":
            self.kill()
            raise StartError(said.decode(errors="replace").strip())

    def _send(self, request: bytes, deadline: float) -> None:
        pipe = _opened(self._process.stdin).fileno()
        left = memoryview(request)
        while left:
            _wait(pipe, select.POLLOUT, deadline)
            try:
                left = left[os.write(pipe, left) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise WorkerDied("the worker had ended") from None

    def _receive(self, deadline: float) -> tuple[str, bytes]:
        pipe = _opened(self._process.stdout).fileno()
        said = bytearray()
        length = None
        while length is None or len(said) < length:
            _wait(pipe, select.POLLIN, deadline)
            part = os.read(pipe, 1 << 16)
            if not part:
                raise WorkerDied("the worker ended")
            said += part
            if length is None and b"\n" in said:
                header, _, rest = said.partition(b"\n")
                reply = json.loads(header)
                length, said = reply["bytes"], rest
            elif length is None and len(said) > _HEADER_BYTES:
                raise WorkerDied("the worker sent no reply")
        return reply["status"], bytes(said)


def _directories_of(packages: Sequence[str]) -> dict[str, str]:
    """Where the packages lie that are installed."""
    specs = {name: importlib.util.find_spec(name) for name in packages}
    return {
        name: str(Path(spec.submodule_search_locations[0]).resolve())
        for name, spec in specs.items()
        if spec is not None and spec.submodule_search_locations
    }


def _libraries_beside(packages: Iterable[str]) -> list[str]:
    """The shared libraries that a wheel puts beside its package."""
    return [path for package in packages if Path(path := f"{package}.libs").is_dir()]


def _start(command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, env=environment, cwd="/",
        start_new_session=True,
    )  # fmt: skip
    os.set_blocking(_opened(process.stdin).fileno(), False)
    return process


def _opened(pipe: IO[bytes] | None) -> IO[bytes]:
    """A pipe of the worker's process, which has all three."""
    assert pipe is not None
    return pipe


def _wait(pipe: int, event: int, deadline: float) -> None:
    """Until the pipe is ready. Raises TimedOut."""
    poll = select.poll()
    poll.register(pipe, event)
    left = deadline - time.monotonic()
    if left <= 0 or not poll.poll(left * 1000):
        raise TimedOut("killed: the worker did not answer")


def _parse(said: bytes) -> Any:
    """The call's process wrote it, so it may be anything."""
    try:
        return json.loads(said)
    except (ValueError, RecursionError):
        raise WorkerDied("its result is not JSON") from None


def _locations(function: str) -> list[str]:
    """Where the function's top-level package and this one lie."""
    found: list[str | None] = []
    for name in (function.partition(":")[0].partition(".")[0], "rlvr"):
        spec = importlib.util.find_spec(name)
        if spec is None:
            raise StartError(f"{function}: no module {name} (looked in {', '.join(sys.path)})")
        found += spec.submodule_search_locations or [spec.origin]
    return [str(Path(place).resolve()) for place in dict.fromkeys(found) if place]
