"""Runs a program on inputs, inside a confined process; what it returns is only a claim about outputs.

Nothing here knows an expected output. The deadline of one test is a timer that the program could
disarm; the deadline of all is the worker's, which it cannot.
"""

from __future__ import annotations

import os
import signal
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rlvr.graders.plain_data import decode, encode

STDIN, STDOUT = 0, 1
MOST_CUTS = 50
LARGEST_VALUE = 200_000
_RECURSION_LIMIT = 10_000


class _TestTimedOut(BaseException):
    """The timer of one test; no handler of `Exception` swallows it."""


def call_function(
    program: str, entry_point: str, inputs: Sequence[Any], seconds: float, as_truth: bool
) -> list[Mapping[str, Any]]:
    """One outcome per input, up to the first failure: {"value"}, {"too_large"}, {"error"}, {"timed_out"}.

    inputs: encoded lists of arguments. seconds: for each. as_truth: whether the value is true, instead
    of the value. too_large: the value has more than 200,000 items and characters. A method of a class
    `Solution` is found by its own name.
    """
    outcomes: list[Mapping[str, Any]] = []
    try:
        function = _timed(lambda: _function(program, entry_point), seconds)
        for arguments in inputs:
            plain = decode(arguments)
            value = _timed(lambda: function(*plain), seconds)  # noqa: B023
            if as_truth:
                outcomes.append({"value": bool(value)})
            elif _size(value, LARGEST_VALUE) > LARGEST_VALUE:
                outcomes.append({"too_large": True})
            else:
                outcomes.append({"value": encode(value)})
    except _TestTimedOut:
        outcomes.append({"timed_out": seconds})
    except BaseException as error:
        outcomes.append({"error": f"{type(error).__name__}: {error}"[:200]})
    return outcomes


def run_program(program: str, standard_input: str) -> Mapping[str, Any]:
    """What the program prints, as {"value"}, or {"error"}; it may end with status 0 by `exit`."""
    os.write(STDIN, standard_input.encode())
    os.lseek(STDIN, 0, os.SEEK_SET)
    try:
        _execute(program, "__main__")
    except SystemExit as end:
        if end.code not in (None, 0):
            return {"error": f"exit status {end.code}"[:200]}
    except BaseException as error:
        return {"error": f"{type(error).__name__}: {error}"[:200]}
    sys.stdout.flush()
    length = os.lseek(STDOUT, 0, os.SEEK_END)
    return {"value": os.pread(STDOUT, length, 0).decode(errors="replace")}


def run(what: str, *arguments: Any) -> Any:
    """The one entry for a worker pool."""
    return call_function(*arguments) if what == "call_function" else run_program(*arguments)


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
    names = _execute(program, "candidate")
    if entry_point not in names and "Solution" in names:
        return getattr(names["Solution"](), entry_point)
    return names[entry_point]


def _execute(program: str, name: str) -> dict[str, Any]:
    sys.setrecursionlimit(_RECURSION_LIMIT)
    module = types.ModuleType(name)
    module.__dict__.update(exit=sys.exit, quit=sys.exit)  # as an interpreter that has a site
    sys.modules[name] = module
    exec(_compile(program), module.__dict__)
    return module.__dict__


def _compile(program: str) -> types.CodeType:
    """The program, or as much of its beginning as is one: a completion may run on into prose."""
    for _ in range(MOST_CUTS):
        try:
            return compile(program, "<program>", "exec")
        except SyntaxError as error:
            whole = program.splitlines()[: max(0, (error.lineno or 1) - 1)]
            if not whole:
                raise
            program = "\n".join(whole) + "\n"
    raise SyntaxError("no program in the text")
