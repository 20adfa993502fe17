"""A Python interpreter whose names live from one program to the next, inside a confined process.

What lives on is the list of programs: a call runs those before once more, unseen, and then the new one. So
nothing has to be kept between calls, a process that ends takes nothing with it, and what an earlier program
did to its process meets no later one. Generators of random numbers begin alike in every call.

The deadline of a program is a timer that the programs could disarm; that of the call is the worker's.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import linecache
import os
import random
import signal
import sys
import traceback
import types
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

# Exit statuses: the program ended, whatever it raised; it was stopped. Neither is one with which a program
# ends its process, which would then end that of every later one.
RAN, STOPPED = 113, 124
_SHOWN_FRAMES = 4


class _Stopped(BaseException):
    """The timer of a program; no handler of `Exception` swallows it."""


def interpret(earlier: Sequence[str], program: str, seconds: float) -> int:
    """Prints what the program prints, then the value of an expression that is its last statement, or what it
    raised; returns its exit status. seconds: of wall time for the program."""
    names = _beginning()
    shown, nowhere = os.dup(1), 2
    output = os.fdopen(1, "w", closefd=False, errors="replace")
    os.dup2(nowhere, 1)
    for i, text in enumerate(earlier):
        _run(text, f"<{i + 1}>", names, output, None)
    os.dup2(shown, 1)
    os.close(shown)
    return _run(program, f"<{len(earlier) + 1}>", names, output, seconds)


def import_packages(modules: Sequence[str]) -> None:
    """Those that are installed, so that not every call imports them."""
    for name in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def run(what: str, *arguments: Any) -> Any:
    """The one entry for a worker pool."""
    functions: Mapping[str, Any] = {"interpret": interpret, "import_packages": import_packages}
    return functions[what](*arguments)


def _beginning() -> dict[str, Any]:
    """The names of an interpreter that has run nothing."""
    random.seed(0)
    if numbers := sys.modules.get("numpy.random"):
        numbers.seed(0)
    sys.argv = [""]
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    module.__dict__.update(exit=sys.exit, quit=sys.exit)
    return module.__dict__


def _run(program: str, name: str, names: dict[str, Any], output: TextIO, seconds: float | None) -> int:
    """Runs a program; all that it prints has left this process at the end."""
    sys.stdout = sys.stderr = output  # whatever the one before made of them
    status = _ended(program, name, names, seconds)
    with contextlib.suppress(BaseException):
        output.flush()
    return status


def _ended(program: str, name: str, names: dict[str, Any], seconds: float | None) -> int:
    linecache.cache[name] = (len(program), None, program.splitlines(keepends=True), name)
    try:
        with _timed(seconds):
            _execute(program, name, names)
    except _Stopped:
        print(f"TimeoutError: stopped after {seconds:g} s")
        return STOPPED
    except SystemExit as end:
        if end.code:
            print(f"SystemExit: {end.code}")
    except BaseException as error:
        _show(error)
    return RAN


def _execute(program: str, name: str, names: dict[str, Any]) -> None:
    tree = ast.parse(program, name)
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr):
        exec(compile(tree, name, "exec"), names)
        return
    del tree.body[-1]
    exec(compile(tree, name, "exec"), names)
    value = eval(compile(ast.Expression(last.value), name, "eval"), names)
    if value is not None:
        print(repr(value))


def _show(error: BaseException) -> None:
    """The error with the frames of programs; what stands in for an exception may raise once more."""
    with contextlib.suppress(BaseException):
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith("<")]
        if frames:
            print("Traceback (most recent call last):")
            print("".join(traceback.format_list(frames[-_SHOWN_FRAMES:])), end="")
        print("".join(traceback.format_exception_only(error)), end="")


@contextlib.contextmanager
def _timed(seconds: float | None) -> Any:
    def stop(number: int, frame: types.FrameType | None) -> None:
        raise _Stopped

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds or 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
