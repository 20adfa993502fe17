"""Programs in processes of their own, forked from one that has imported torch: a start takes no time.

What a process boundary is for is all there: arguments, environment, working directory, output, signals,
exit status. Only the interpreter's start and the imports are shared.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PRELOADED = ["preloaded"]


# Variables by which a process knows that it is one of several, as `accelerate launch` sets them.
GROUP = ("WORLD_SIZE", "LOCAL_WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


class Forked:
    """A running program, with the part of `subprocess.Popen`'s interface that tests use."""

    def __init__(
        self, program: Sequence[str], cwd: str | Path = ".", env: Mapping[str, str] | None = None
    ) -> None:
        """program: a script or `-m` and a module, and its arguments. env: the whole environment; as here
        if None, but for what makes a process one of a group, which an engine in this one may have set."""
        self.args = list(program)
        self._output = tempfile.TemporaryDirectory(prefix="forked-")
        files = [str(Path(self._output.name) / name) for name in ("stdout", "stderr")]
        here = {name: value for name, value in os.environ.items() if name not in GROUP}
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self._process = context.Process(
            target=_run,
            args=(self.args, str(Path(cwd).resolve()), dict(here if env is None else env), files),
        )
        with _importing_from_here():
            self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """As of a Popen: negative for a signal, None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it wrote to stdout and stderr, at its end."""
        self.wait(timeout)
        return self.written()

    def written(self) -> tuple[str, str]:
        """What it wrote so far to stdout and stderr."""
        out, errors = (Path(self._output.name) / name for name in ("stdout", "stderr"))
        return (out.read_text(), errors.read_text()) if errors.exists() else ("", "")

    def send_signal(self, number: int) -> None:
        """As a Popen: nothing where it has ended, and its number may be another's."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def finished(
    program: Sequence[str], cwd: str | Path = ".", env: Mapping[str, str] | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run` with the output captured."""
    return _ended([Forked(program, cwd, env)], timeout)[0]


def ranks(
    count: int, program: Sequence[str], cwd: str | Path = ".", timeout: float = 300
) -> list[subprocess.CompletedProcess[str]]:
    """The program in so many processes of one group, as `accelerate launch --cpu` starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
             "ACCELERATE_USE_CPU": "true"}  # fmt: skip
    started = []
    for rank in range(count):
        told = {name: str(value) for name, value in {**group, "RANK": rank, "LOCAL_RANK": rank}.items()}
        started.append(Forked(program, cwd, os.environ | told))
    return _ended(started, timeout)


def _ended(processes: list[Forked], timeout: float) -> list[subprocess.CompletedProcess[str]]:
    """Waits for all, or until one fails; none is left behind."""
    ends = time.monotonic() + timeout
    try:
        while any(process.poll() is None for process in processes):
            if any(process.poll() for process in processes):
                break
            if time.monotonic() > ends:
                raise subprocess.TimeoutExpired(processes[0].args, timeout, *processes[0].written())
            time.sleep(0.01)
    finally:
        for process in processes:
            process.kill()
    return [subprocess.CompletedProcess(p.args, p.wait(), *p.written()) for p in processes]


class _importing_from_here:
    """The fork server, which the first start starts, finds the tests' own modules."""

    def __enter__(self) -> None:
        self._before = os.environ.get("PYTHONPATH")
        paths = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[1]), self._before]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))

    def __exit__(self, *_: object) -> None:
        if self._before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = self._before


def _run(program: list[str], cwd: str, env: dict[str, str], output: list[str]) -> None:
    """In the child: becomes the program."""
    for number, file in enumerate(output, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    paths = [os.path.abspath(p) for p in env.get("PYTHONPATH", "").split(os.pathsep) if p]
    sys.path[:0] = [path for path in paths if path not in sys.path]
    if program[0] == "-m":
        sys.argv = program[1:]
        sys.path.insert(0, cwd)
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(program)
        sys.path.insert(0, os.path.dirname(os.path.abspath(program[0])))
        runpy.run_path(program[0], run_name="__main__")
