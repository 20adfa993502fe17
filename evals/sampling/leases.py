"""Leases on prompts of a sample set: of processes that draw the same samples at once, one draws each.

A lease is a lock on one byte of a file beside the samples, a byte a prompt. The operating system gives it
back when its holder ends, however that happens, so that none outlives a killed process. Locks of this kind
work over NFS as well; where there are none, everybody draws, and what was drawn twice is stored once.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

FILE = "leases"
_TAKEN = (errno.EACCES, errno.EAGAIN)


class Leases:
    """Of one sample set, which lies in `directory`."""

    def __init__(self, directory: Path):
        self.path = directory / FILE

    @contextmanager
    def held(self, prompts: Collection[str]) -> Iterator[bool]:
        """Whether this process has all of these prompts (hashes, hex) to itself during the block.

        It never waits with one prompt in its hands for another, so that no two processes wait for each
        other. Within one process leases exclude nobody.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:  # a store that cannot be written: what has to be drawn says so
            yield True
            return
        try:
            yield all(_locked(file, int(prompt[:7], 16)) for prompt in sorted(prompts))
        finally:
            os.close(file)  # with all of its locks

    @contextmanager
    def all_held(self) -> Iterator[bool]:
        """Whether no other process has any prompt, and none gets one during the block."""
        file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            yield _locked(file, 0, 0)
        finally:
            os.close(file)


def _locked(file: int, byte: int, length: int = 1) -> bool:
    """length: 0 is to the end."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, length, byte)
    except OSError as error:
        return error.errno not in _TAKEN
    return True
