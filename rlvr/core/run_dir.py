"""The run directory: its paths, its lock and its line-by-line records. Other programs read it."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

from rlvr.core.errors import UserError
from rlvr.core.records import kept_sums, read_jsonl, read_lines, sum_of, sums_file
from rlvr.core.replacing import write_bytes

__all__ = ["read_jsonl", "write_bytes"]

_STEP = re.compile("step_[0-9]{6,}")


class RunDirError(UserError):
    """The run directory cannot be used as asked; the message says why and what to do."""


class RunDir:
    """Paths of one run; see "The run directory" in the README."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.card = self.path / "card.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.wandb = self.path / ".wandb.json"
        self.finished = self.path / ".finished"
        self.saved = self.path / ".saved"
        self.evidence = self.path / "evidence"
        self.exchange = self.path / "exchange"
        self.rollouts = self.path / "rollouts"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the directory for this process; the lock goes with the process, however it ends."""
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / ".lock", "a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise RunDirError(
                    f"{self.path} is in use by process {lock.read().strip() or 'unknown'}: "
                    "wait for it, stop it, or give another run_dir"
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    @contextmanager
    def writing_records(self) -> Iterator[None]:
        """Waits until no other process rewrites the records, and keeps it so."""
        with open(self.path / ".records-lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def step_folder(step: int) -> str:
    """The name of a step's folder, wherever it lies: step_000050."""
    return f"step_{step:06d}"


def step_folders(directory: Path) -> dict[int, Path]:
    """The folders of steps in a directory, by step, the earliest first."""
    found = {int(path.name[5:]): path for path in directory.glob("step_*") if _STEP.fullmatch(path.name)}
    return {step: path for step, path in sorted(found.items()) if path.name == step_folder(step)}


def saved(run_dir: RunDir) -> str:
    """For messages: the newest checkpoint, and where it lies."""
    newest = [path.name for path in step_folders(run_dir.checkpoints).values()][-1:]
    return f"{newest[0]} in {run_dir.checkpoints}" if newest else "no checkpoint yet"


def append_jsonl(path: Path, row: Mapping[str, Any]) -> None:
    """Appends one line and flushes it to the operating system. A last line that a crash cut short goes."""
    text = (json.dumps(row, allow_nan=True) + "\n").encode()
    with open(path, "ab+") as file:
        end = file.seek(0, os.SEEK_END)
        if end and not _ends_line(file, end):
            whole = read_lines(path)
            end = whole[-1].end if whole else 0
            file.truncate(end)
            if whole and not whole[-1].text.endswith(b"\n"):
                end += file.write(b"\n")
        file.write(text)
    sums = sums_file(path)
    if sums.exists() or end == 0:
        sums.parent.mkdir(exist_ok=True)
        with open(sums, "a" if end else "w") as file_of_sums:
            file_of_sums.write(sum_of(end + len(text), text))


def _ends_line(file: BinaryIO, end: int) -> bool:
    file.seek(end - 1)
    return file.read(1) == b"\n"


def keep_jsonl(
    path: Path, keep: Callable[[dict[str, Any]], bool], *needs: str, once: Sequence[str] = ()
) -> None:
    """Rewrites the file with the rows to keep, in one rename; see `read_jsonl`."""
    if not path.exists():
        return
    lines = [line for line in read_lines(path, *needs, once=once) if keep(line.row)]
    lines = [replace(line, text=line.text.rstrip(b"\n") + b"\n") for line in lines]
    _write_summed(path, b"".join(line.text for line in lines), kept_sums(path, lines))


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Replaces the file by these rows, in one rename."""
    lines = [(json.dumps(row) + "\n").encode() for row in rows]
    ends = accumulate(map(len, lines))
    _write_summed(path, b"".join(lines), "".join(map(sum_of, ends, lines)))


def write_record(path: Path, value: Any) -> None:
    """Replaces a file by one JSON object that `read_object` holds against its checksum."""
    content = (json.dumps(value, indent=2) + "\n").encode()
    _write_summed(path, content, sum_of(len(content), content))


def _write_summed(path: Path, content: bytes, sums: str) -> None:
    """A process that dies in between leaves a file without checksums, never with those of another."""
    sums_file(path).unlink(missing_ok=True)
    write_bytes(path, content)
    sums_file(path).parent.mkdir(exist_ok=True)
    write_text(sums_file(path), sums)


def free_name(path: Path) -> Path:
    """The path itself or, where there is something, the first of path-2, path-3, ... where there is not."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free


def write_text(path: Path, text: str) -> None:
    """Replaces the file in one rename: see `rlvr.core.replacing`."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2) + "\n")
