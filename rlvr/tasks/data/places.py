"""Where the data lies: a file, a directory of files, or a data set of the hub that is fetched as files."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from rlvr.tasks.data.columns import DataError
from rlvr.tasks.data.names import HUB_ID, SUFFIXES
from rlvr.tasks.sources import hub_is_allowed

Side = Literal["train", "test"]
# What file names and split columns call the two sides, the first that is there.
SIDES: dict[Side, tuple[str, ...]] = {
    "train": ("train", "training"),
    "test": ("test", "validation", "valid", "val", "dev", "eval"),
}
PATIENCE = 2.0


@dataclass(frozen=True, slots=True)
class File:
    """A file of rows. side: that its name says it is of; None where it says nothing."""

    path: Path
    side: Side | None = None


def find_files(path: str, revision: str | None) -> list[File]:
    """The files of a local path, or else of a data set of the hub at a revision. Raises DataError."""
    place = Path(path).expanduser()
    if place.is_file():
        if not place.name.endswith(SUFFIXES):
            raise DataError(f"{place}: a data file is one of *{', *'.join(SUFFIXES)}")
        return [File(place)]
    if place.is_dir():
        return _of_directory(place)
    if not HUB_ID.fullmatch(path) or path.endswith(SUFFIXES):
        raise DataError(f"{path} does not exist: give a file (*{', *'.join(SUFFIXES)}), a directory of "
                        "such files, or ORGANISATION/NAME of a data set on the hub as task.path")  # fmt: skip
    return _of_directory(_from_hub(path, revision))


def _of_directory(directory: Path) -> list[File]:
    """Every data file below it; .json only where there is nothing else, as it may be about the data."""
    there = sorted(
        p
        for p in directory.rglob("*")
        if p.is_file() and p.name.endswith(SUFFIXES) and not _is_hidden(p.relative_to(directory))
    )
    rows = [p for p in there if not p.name.removesuffix(".gz").endswith(".json")] or there
    if not rows:
        raise DataError(f"{directory} holds no data file (*{', *'.join(SUFFIXES)})")
    names = {p: _words(p.relative_to(directory)) for p in rows}
    calls = {side: next((c for c in called if any(c in words for words in names.values())), None)
             for side, called in SIDES.items()}  # fmt: skip
    if None in calls.values():
        return [File(p) for p in rows]
    return [File(p, side) for p in rows for side, called in calls.items() if called in names[p]]


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _words(path: Path) -> set[str]:
    """The words of a path's file name and folders: {data, train, 00000, of, 00001, parquet}."""
    return {word for part in path.parts for word in re.split(r"[^a-z0-9]+", part.lower())}


def _from_hub(name: str, revision: str | None) -> Path:
    """The directory of a data set's files: from the hub's cache, else from the hub."""
    local = f"{name} is no local path"
    if revision is None:
        raise DataError(
            f"{local}. For the data set of that name on the hub give task.revision=COMMIT as well: what a "
            "name stands for changes"
        )
    if not hub_is_allowed():
        raise DataError(f"{local}, and nothing is asked of the hub here")
    from huggingface_hub import constants, snapshot_download

    kinds = [f"*{suffix}" for suffix in SUFFIXES]
    wanted: dict[str, Any] = {"repo_type": "dataset", "revision": revision, "allow_patterns": kinds}
    elsewhere = (
        f"Fetch it where the hub can be reached (hf download {name} --repo-type dataset --revision "
        f"{revision} --local-dir DIR) and give task.path=DIR"
    )
    try:
        return Path(snapshot_download(name, local_files_only=True, **wanted))
    except Exception:  # not in the cache; the hub's client raises errors of half a dozen libraries
        pass
    if constants.HF_HUB_OFFLINE:
        raise DataError(f"{local}, not in the hub's cache, and HF_HUB_OFFLINE is set. {elsewhere}")
    if not _answers(constants.ENDPOINT):
        raise DataError(f"{local}, not in its cache, and {constants.ENDPOINT} cannot be reached. {elsewhere}")
    try:
        return Path(snapshot_download(name, **wanted))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise DataError(f"{local}, and the hub does not give it: {reason}. {elsewhere}") from error


def _answers(endpoint: str) -> bool:
    """Whether the hub's host takes a connection; a proxy, where one is set, is left to try."""
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True
    parts = urlsplit(endpoint)
    try:
        port = parts.port or (80 if parts.scheme == "http" else 443)
        with socket.create_connection((parts.hostname or "", port), timeout=PATIENCE):
            return True
    except OSError:
        return False
