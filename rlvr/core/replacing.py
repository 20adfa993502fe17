"""Files that come into place in one rename, and what a process that died left of them."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

# .probe.jsonl.1f00aa23: what is being written in the place of probe.jsonl.
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{8}")


def write_bytes(path: Path, content: bytes) -> None:
    """Replaces the file in one rename, so that a reader sees the old or the new, never a part.

    What is being written is locked until it is in place, so that `remove_litter` leaves it alone. Where it
    cannot be written, nothing is left of it.
    """
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")  # pids repeat in containers
        try:
            with open(temporary, "wb") as file:
                if not _locked(file.fileno()) or not os.fstat(file.fileno()).st_nlink:
                    continue  # it was taken for litter before it was locked
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                temporary.replace(path)
                return
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise


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
