"""Runs a program on inputs, inside a confined process; what it returns is only a claim about outputs.

Nothing here knows an expected output. The deadline of one test is a timer that the program could
disarm; the deadline of all is the worker's, which it cannot.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import gc
import importlib
import os
import signal
import sys
import threading
import traceback
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rlvr.graders.code.choice import best_reading, compiled
from rlvr.graders.plain_data import decode, encode

LARGEST_VALUE = 200_000
COMMON_MODULES = (
    "bisect", "collections", "copy", "datetime", "functools", "heapq", "itertools", "math", "operator",
    "random", "re", "statistics", "string", "typing",
)  # fmt: skip
_RECURSION_LIMIT = 10_000
# There is no /proc, which these names lead to.
_STREAMS = {"/dev/stdin": 0, "/proc/self/fd/0": 0, "/dev/fd/0": 0, "/dev/stdout": 1, "/dev/stderr": 2}


class _TestTimedOut(BaseException):
    """The timer of one test; no handler of `Exception` swallows it."""


def call_function(
    program: str, entry_point: str, inputs: Sequence[Any], seconds: float, found: bool
) -> list[Mapping[str, Any]]:
    """One outcome per input, up to the first failure: {"value"}, {"too_large"}, {"error"}, {"timed_out"}.

    inputs: encoded lists of arguments. seconds: for each. found: whether the value is not None, instead
    of a value that is no bool. too_large: the value has more than 200,000 items and characters. A method
    of a class `Solution` comes before a function of its name.
    """
    outcomes: list[Mapping[str, Any]] = []
    try:
        function = _timed(lambda: _function(program, entry_point), seconds)
        for arguments in inputs:
            plain = decode(arguments)
            value = _timed(lambda: function(*plain), seconds)  # noqa: B023
            if found:
                outcomes.append({"value": value if isinstance(value, bool) else value is not None})
            elif _size(value, LARGEST_VALUE) > LARGEST_VALUE:
                outcomes.append({"too_large": True})
            else:
                outcomes.append({"value": encode(value)})
    except _TestTimedOut:
        outcomes.append({"timed_out": seconds})
    except BaseException as error:
        outcomes.append({"error": f"{type(error).__name__}: {error}"[:200]})
    return outcomes


def run_program(program: str, standard_input: str) -> int:
    """Runs a program as an interpreter does, up to its last output, and returns its exit status."""
    os.write(0, standard_input.encode())
    os.lseek(0, 0, os.SEEK_SET)
    atexit._clear()  # what the worker has registered
    try:
        code, module = _loaded(program, "__main__")
        exec(code, module.__dict__)
        status = 0
    except SystemExit as end:
        status = _status(end.code)
    except BaseException:
        traceback.print_exc()
        status = 1
    _finish()
    return status


def import_common() -> None:
    """Modules that programs use, or have before them, so that not every call imports them."""
    for name in COMMON_MODULES:
        importlib.import_module(name)


def run(what: str, *arguments: Any) -> Any:
    """The one entry for a worker pool."""
    functions: dict[str, Callable[..., Any]] = {
        "call_function": call_function, "run_program": run_program, "best_reading": best_reading,
        "import_common": import_common,
    }  # fmt: skip
    return functions[what](*arguments)


def _status(code: object) -> int:
    if code is None or isinstance(code, int):
        return (code or 0) & 0xFF
    print(code, file=sys.stderr)
    return 1


def _finish() -> None:
    """As an interpreter ends: waits for threads, calls what was registered, writes what is left."""
    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    own_stdout = sys.stdout
    with contextlib.suppress(BaseException):
        sys.modules["__main__"].__dict__.clear()
        gc.collect()  # files that nobody closed write what they hold
    for stream in (own_stdout, sys.__stdout__):
        with contextlib.suppress(BaseException):
            stream.flush()  # type: ignore[union-attr]


def _size(value: Any, most: int) -> int:
    """Items and characters, counted no further than beyond `most`."""
    if isinstance(value, str | bytes | bytearray):
        return len(value)
    if isinstance(value, dict):
        value = [item for pair in value.items() for item in pair]
    size = 1
    if isinstance(value, list | tuple | set | frozenset):
        for item in value:
            size += _size(item, most - size)
            if size > most:
                break
    return size


def _timed(action: Callable[[], Any], seconds: float) -> Any:
    def stop(number: int, frame: types.FrameType | None) -> None:
        raise _TestTimedOut

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return action()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _function(program: str, entry_point: str) -> Callable[..., Any]:
    code, module = _loaded(program, "candidate")
    names = module.__dict__
    try:
        exec(code, names)
    except (Exception, SystemExit):  # its own assertion, say, behind the definition
        if entry_point not in names and "Solution" not in names:
            raise
    if "Solution" in names and (hasattr(names["Solution"], entry_point) or entry_point not in names):
        return getattr(names["Solution"](), entry_point)
    return names[entry_point]


def _loaded(program: str, name: str) -> tuple[types.CodeType, types.ModuleType]:
    """The program's code and the module to run it in."""
    sys.setrecursionlimit(_RECURSION_LIMIT)
    sys.set_int_max_str_digits(0)
    sys.argv = ["program.py"]
    code, _ = compiled(program)
    module = types.ModuleType(name)
    sys.modules[name] = module
    # as an interpreter that has a site, and /dev
    module.__dict__.update(exit=sys.exit, quit=sys.exit, open=_open)
    return code, module


def _open(file: Any, *arguments: Any, **options: Any) -> Any:
    """open; the standard streams by their file names too."""
    if isinstance(file, str) and file in _STREAMS:
        file = os.dup(_STREAMS[file])
    return builtins.open(file, *arguments, **options)
