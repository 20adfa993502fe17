"""Errors whose message is for whoever gave the command, and how every command ends."""

from __future__ import annotations

import os
import re
import select
import sys
from collections.abc import Callable

INTERRUPTED = 130
DOES_NOT_FIT = 3
# What `pip install rlvr[train]` brings beside what is needed for grading, counting and comparing.
TRAINING_PACKAGES = ("torch", "transformers", "accelerate", "peft", "safetensors", "wandb", "datasets")


# scheme://user:password@host
_PASSWORD = re.compile(r"(\b[a-zA-Z][a-zA-Z0-9+.-]*://)[^\s/@]*@")


class UserError(Exception):
    """Something that whoever gave the command can put right; the message says what, where and how.

    status: the command's exit status: 1 something could not be had or done, 2 wrong arguments or files.
    """

    status = 1


def without_password(text: str) -> str:
    """The text without what stands before the @ of URLs in it."""
    return _PASSWORD.sub(r"\1", text)


def is_missing(error: Exception) -> bool:
    """Whether it is an import that failed for a package that only `rlvr[train]` brings."""
    return isinstance(error, ModuleNotFoundError) and error.name in TRAINING_PACKAGES


def exit_status(command: Callable[[], int | None], interrupted: str = "interrupted") -> int:
    """Runs a command; the message of a UserError goes to stderr. interrupted: what Ctrl-C is answered with.

    Exit status: what the command returns (None: 0), a UserError's own, 130 after Ctrl-C, 1 where nobody
    reads stdout any more, as in `... | head`.
    """
    try:
        status = command() or 0
        sys.stdout.flush()
        return status
    except UserError as error:
        print(f"\n{without_password(str(error))}", file=sys.stderr)
        return error.status
    except ModuleNotFoundError as error:
        if not is_missing(error):
            raise
        print(
            f"\nthis needs the package {error.name}, which is not installed: pip install 'rlvr[train]' "
            "brings all that training and probing need (in a checkout: make install)",
            file=sys.stderr,
        )
        return UserError.status
    except KeyboardInterrupt:
        print(f"\n{interrupted}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        if _stdout_is_read():
            raise
        return 1
    except Exception as error:
        from rlvr.core.disk import described

        if not (said := described(error, ())):
            raise
        print(f"\n{without_password(said)}", file=sys.stderr)
        return UserError.status


def _stdout_is_read() -> bool:
    """False, and then stdout is closed for good, where its reader is gone: other pipes break too."""
    try:
        stdout = sys.stdout.fileno()
    except OSError:  # not a file, such as what a test puts in its place
        return True
    waiting = select.poll()
    waiting.register(stdout, 0)
    if not waiting.poll(0):
        return True
    os.dup2(os.open(os.devnull, os.O_WRONLY), stdout)  # Python flushes once more when it exits
    return False
