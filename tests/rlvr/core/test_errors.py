"""How commands end: the exit status and the message of every kind of ending."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

import evals
import rlvr
from rlvr.core.errors import UserError, exit_status

# Caught where they are raised, or turned into a UserError that says more.
INTERNAL = {
    "CannotRead", "CallFailed", "DrawingStopped", "Forked", "Interrupted", "MalformedExpression",
    "NotPlainData", "Overdue", "Refused", "RowError", "SchemaError", "TimedOut", "UnreadableError",
    "WorkerDied", "WorkerError", "_OtherText", "_Stopped", "_Taken", "_TestTimedOut",
}  # fmt: skip
WRONG_ARGUMENTS = {
    "ArgumentsError",
    "ChatError",
    "ClassifierError",
    "ConditionsError",
    "ConfigError",
    "DamagedError",
    "DataError",
    "FileError",
    "JudgeError",
    "KeysError",
    "MissingColumnError",
    "PlaceError",
    "PluginError",
    "RecordError",
    "SamplesError",
    "SamplesGoneError",
    "TemplateError",
    "WatchError",
}
OF_ITS_OWN = {"UnreadError": 3}


class Wrong(UserError):
    status = 2


def ends(how: BaseException | int | None) -> int:
    def command() -> int | None:
        if isinstance(how, BaseException):
            raise how
        return how

    return exit_status(command)


@pytest.mark.parametrize(
    ("how", "status", "said"),
    [
        (None, 0, ""),
        (0, 0, ""),
        (3, 3, ""),
        (UserError("no model"), 1, "\nno model\n"),
        (Wrong("no key"), 2, "\nno key\n"),
        (KeyboardInterrupt(), 130, "\ninterrupted\n"),
    ],
)
def test_endings(
    how: BaseException | int | None, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends(how) == status
    assert capsys.readouterr() == ("", said)


@pytest.mark.parametrize("error", [ValueError("a fault of ours"), BrokenPipeError("a worker died")])
def test_what_is_not_for_the_user_keeps_its_traceback(error: Exception) -> None:
    with pytest.raises(type(error)):
        ends(error)


@pytest.mark.parametrize("lines", [1, 10_000])  # within and beyond what the pipe and the buffer hold
def test_a_reader_that_leaves_is_no_error(lines: int) -> None:
    code = (
        "import sys, time; from rlvr.core.errors import exit_status\n"
        "print('read'); sys.stdout.flush(); time.sleep(0.3)\n"
        f"sys.exit(exit_status(lambda: print('x\\n' * 10 * {lines})))"
    )
    command = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert command.stdout is not None and command.stdout.readline() == b"read\n"
    command.stdout.close()
    assert command.stderr is not None and command.stderr.read() == b""
    assert command.wait(timeout=10) == 1


def exceptions() -> Iterator[type[BaseException]]:
    """Every exception class that the two packages define."""
    for package in (rlvr, evals):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name.endswith(("__main__", ".vllm", ".vllm_server")):
                continue
            module = importlib.import_module(found.name)
            for _, kind in inspect.getmembers(module, inspect.isclass):
                if issubclass(kind, BaseException) and kind.__module__ == found.name:
                    yield kind


def test_every_exception_is_internal_or_has_a_status() -> None:
    kinds = {kind.__name__: kind for kind in exceptions()}
    for name, kind in kinds.items():
        assert issubclass(kind, UserError) != (name in INTERNAL), name
        if issubclass(kind, UserError):
            usual = 2 if name in WRONG_ARGUMENTS else 1
            assert kind.status == OF_ITS_OWN.get(name, usual), name
    assert set(kinds) >= INTERNAL | WRONG_ARGUMENTS
