"""Files that come into place in one rename, and what a process that died left of them."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

# .probe.jsonl.1f00aa23: what is being written in the place of probe.jsonl.
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{8}")


def write_bytes(path: Path, content: bytes) -> None:
    """Replaces the file in one rename, so that a reader sees the old or the new, never a part."""
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write and to read, which takes the other's place in one rename when the block ends.

    What is being written is locked until it is in place, so that `remove_litter` leaves it alone. Where it
    cannot be written, or the block raises, nothing is left of it.
    """
    temporary, file = _begun(path)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _begun(path: Path) -> tuple[Path, BinaryIO]:
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")  # pids repeat in containers
        file = open(temporary, "w+b")  # noqa: SIM115
        if _locked(file.fileno()) and os.fstat(file.fileno()).st_nlink:
            return temporary, file
        file.close()  # it was taken for litter before it was locked


def remove_litter(directory: Path, recursive: bool = False) -> list[Path]:
    """Removes what processes that died left of files that they were writing; which those were."""
    found = directory.rglob(".*") if recursive else directory.glob(".*")
    return [path for path in found if _TEMPORARY.fullmatch(path.name) and _removed(path)]


def _removed(path: Path) -> bool:
    """Unless somebody is writing it."""
    with suppress(OSError), open(path, "rb") as file:
        if _locked(file.fileno()):
            path.unlink()
            return True
    return False


def _locked(file: int) -> bool:
    """Whether this process has the file now; True where the file system has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
