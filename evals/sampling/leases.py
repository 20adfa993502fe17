"""Leases on prompts of a sample set: of processes that draw the same samples at once, one draws each.

A lease is a lock on one byte of a file beside the samples, a byte a prompt. The operating system gives it
back when its holder ends, however that happens, so that none outlives a killed process. Locks of this kind
work over NFS as well; where there are none, everybody draws, and what was drawn twice is stored once.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FILE = "leases"
_TAKEN = (errno.EACCES, errno.EAGAIN)


class Leases:
    """Of one sample set, which lies in `directory`; taken and given back while the block lasts."""

    def __init__(self, directory: Path):
        self.path = directory / FILE
        self._file: int | None = None

    def __enter__(self) -> Leases:
        # A store that cannot be written has no leases: what has to be drawn says so.
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        return self

    def __exit__(self, *failure: object) -> None:
        if self._file is not None:
            os.close(self._file)  # with all of its locks
        self._file = None

    def take(self, prompt: str) -> bool:
        """Whether this process has the prompt (a hash, hex) to itself from now on; it never waits for it.

        Within one process leases exclude nobody.
        """
        return self._file is None or _locked(self._file, _byte(prompt))

    def give(self, prompt: str) -> None:
        """Others may have it now."""
        if self._file is not None:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _byte(prompt))

    @contextmanager
    def all_held(self) -> Iterator[bool]:
        """Whether no other process has any prompt, and none gets one during the block."""
        file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            yield _locked(file, 0, 0)
        finally:
            os.close(file)


def _byte(prompt: str) -> int:
    return int(prompt[:7], 16)


def _locked(file: int, byte: int, length: int = 1) -> bool:
    """length: 0 is to the end."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, length, byte)
    except OSError as error:
        return error.errno not in _TAKEN
    return True
