"""Directories that are built once and kept: whole when they are used, whatever happened to them since."""

from __future__ import annotations

import fcntl
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rlvr.core.errors import UserError
from rlvr.core.hashes import tree_digests
from rlvr.core.records import RecordError, read_object
from rlvr.core.run_dir import free_name, write_json


class ModelCacheError(UserError):
    """The cache of embedded bases cannot be used; the message says why."""


def cached(directory: Path, build: Callable[[], None]) -> Path:
    """The directory, which `build` makes where it is absent; one that is damaged is set aside and built anew.

    Several processes may call this at once: one builds, the others wait. Raises ModelCacheError.
    """
    if _damage(directory) is None:
        return directory
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _locked(directory.with_name(f"{directory.name}.lock")):
        damage = _damage(directory)
        if damage and directory.exists():
            aside = free_name(directory.with_name(f"{directory.name}.damaged"))
            directory.rename(aside)
            warnings.warn(
                f"{directory}: {damage}. It was renamed to {aside.name} and is built anew", stacklevel=2
            )
        if damage:
            build()
            write_json(_hashes(directory), tree_digests(directory))
    return directory


def _hashes(directory: Path) -> Path:
    """The hashes of the directory's files, beside it."""
    return directory.with_name(f"{directory.name}.hashes.json")


def _damage(directory: Path) -> str | None:
    """What the directory lacks of what was built; None if nothing. One without hashes, as older versions
    built it, gets those that it has. Raises ModelCacheError for what the disk does not give."""
    try:
        if not directory.is_dir():
            return "it is not there"
        found = tree_digests(directory)
    except (FileNotFoundError, NotADirectoryError):
        return "it was moved meanwhile"
    except OSError as error:
        raise ModelCacheError(
            f"the base in {directory} cannot be read: {error}. It was left as it is"
        ) from error
    try:
        known = read_object(_hashes(directory))
    except (FileNotFoundError, RecordError):  # hashes that are damaged say nothing of the base
        with suppress(OSError):
            write_json(_hashes(directory), found)
        return None
    differing = sorted(name for name in known.keys() | found.keys() if known.get(name) != found.get(name))
    return f"{', '.join(differing[:3])} is not as it was built" if differing else None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock that the kernel releases when the process dies."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
