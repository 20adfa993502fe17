"""What the disk did not take or give, said for people: which file system, how much is free there, what to do.

Libraries wrap the operating system's errors in their own, or lose them: what is known is found in whatever
was raised.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rlvr.core.errors import UserError

# What the operating system said, and what that means to whoever gave the command.
MEANINGS = {
    errno.ENOSPC: ("is full", "free space there"),
    errno.EDQUOT: ("has no room left in your quota", "free space there, or have the quota raised"),
    errno.EFBIG: ("takes no file this large", "raise the limit (ulimit -f), or use another file system"),
    errno.EROFS: ("is read-only", "give a place that can be written"),
    errno.EACCES: ("lets you not read or write this", "give a place of your own, or have the rights changed"),
    errno.EPERM: ("does not permit this", "give a place of your own, or have the rights changed"),
    errno.ENOTDIR: ("has a file where a directory should be", "remove that file, or give another place"),
    errno.EEXIST: ("has a file where a directory should be", "remove that file, or give another place"),
    errno.EISDIR: ("has a directory where a file should be", "remove it, or give another place"),
    errno.EIO: ("failed", "have the disk looked at (dmesg), or use another one"),
    errno.ESTALE: ("went away", "mount it again"),
    errno.ENODEV: ("went away", "mount it again"),
}
# What libraries say in place of it: safetensors, pyarrow and others quote the number.
_NUMBER = re.compile(r"\(os error (\d+)\)|\[[Ee]rrno (\d+)\]")
_FULL = ("No space left", "PytorchStreamWriter failed", "unexpected pos")
# Bytes; with less free, a write that a library reports without a reason failed for want of room.
_LITTLE = 64 << 20


class DiskError(UserError):
    """A file system did not take or give something; the message says which, what is safe, and what to do."""


def find_error(error: BaseException | None) -> tuple[int, str | None] | None:
    """The operating system's error at the root of what was raised, and the file if it is known; None where
    the disk has no part in it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in MEANINGS:
            file = error.filename2 or error.filename
            return error.errno, os.fspath(file) if isinstance(file, str | Path) else None
        if not isinstance(error, UserError):
            text = str(error)
            for found in _NUMBER.findall(text):
                if (number := int(found[0] or found[1])) in MEANINGS:
                    return number, None
            if any(said in text for said in _FULL):
                return errno.ENOSPC, None
        error = error.__cause__ or error.__context__
    return None


def described(error: BaseException, places: Sequence[Path], safe: str = "") -> str | None:
    """What to say of an error of the disk, None where it is of something else.

    places: where this was writing, for errors that do not say where. safe: what is on disk already.
    """
    found = find_error(error)
    if found is None:
        return None
    number, file = found
    if number == errno.ENOSPC and "No space left" not in str(error) and not file and not _is_scarce(places):
        # A library's own word for a write that failed; there is room, so a limit on files is left.
        number = errno.EFBIG
    what, advice = MEANINGS[number]
    where = Path(file) if file else _fullest(places)
    at = f"{where}: " if where else ""
    system = f"the file system {file_system(where)}" if where else "the file system"
    kept = safe or "What was saved before is whole."
    asked = f"To go on, {advice} and give the same command again."
    return f"{at}{system} {what} ({_first_line(error)}). {kept} {asked}"


@contextmanager
def told(places: Callable[[], Sequence[Path]], safe: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Raises DiskError, in the place of what the block raised, for errors of the disk. See `described`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if said := described(error, places(), safe()):
            raise DiskError(said) from error
        raise


def file_system(path: Path) -> str:
    """Where the path's file system is mounted, and what is free there."""
    place = _existing(path)
    try:
        free, total = shutil.disk_usage(place).free, shutil.disk_usage(place).total
    except OSError:
        return str(place)
    while not os.path.ismount(place) and place != place.parent:
        place = place.parent
    return f"{place} ({free >> 20:,} of {total >> 20:,} MiB free)"


def unwritable(path: Path) -> str | None:
    """Why nothing can be written below a directory, which need not be there yet; None where it can."""
    place = _existing(path)
    if not place.is_dir():
        return f"{place} is a file, and a directory should be there"
    if os.access(place, os.W_OK | os.X_OK):
        return None
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        return f"the file system {file_system(place)} is read-only"
    return f"{place} cannot be written by user {os.geteuid()}"


def _existing(path: Path) -> Path:
    """The path, or the nearest place above it where there is something."""
    place = path.absolute()
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    return place


def _is_scarce(places: Sequence[Path]) -> bool:
    return not places or any(_free(place) < _LITTLE for place in places)


def _fullest(places: Sequence[Path]) -> Path | None:
    return min(places, key=_free, default=None)


def _free(path: Path) -> int:
    try:
        return shutil.disk_usage(_existing(path)).free
    except OSError:
        return 0


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
