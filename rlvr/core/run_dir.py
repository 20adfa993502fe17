"""The run directory: its paths, its lock and its line-by-line records. Other programs read it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlvr.core.errors import UserError
from rlvr.core.replacing import write_bytes

__all__ = ["write_bytes"]


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
        self.evidence = self.path / "evidence"
        self.exchange = self.path / "exchange"

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
    found = {
        int(path.name.removeprefix("step_")): path
        for path in directory.glob("step_*")
        if path.name.removeprefix("step_").isdigit()
    }
    return dict(sorted(found.items()))


def saved(run_dir: RunDir) -> str:
    """For messages: the newest checkpoint, and where it lies."""
    newest = [path.name for path in step_folders(run_dir.checkpoints).values()][-1:]
    return f"{newest[0]} in {run_dir.checkpoints}" if newest else "no checkpoint yet"


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """All whole lines; a last line that a crash cut short is left out. Empty where there is no file."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def append_jsonl(path: Path, row: Mapping[str, Any]) -> None:
    """Appends one line and flushes it to the operating system."""
    with open(path, "a") as file:
        file.write(json.dumps(row, allow_nan=True) + "\n")


def keep_jsonl(path: Path, keep: Callable[[dict[str, Any]], bool]) -> None:
    """Rewrites the file with the rows to keep, in one rename."""
    if path.exists():
        rows = [row for row in read_jsonl(path) if keep(row)]
        write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def write_text(path: Path, text: str) -> None:
    """Replaces the file in one rename: see `rlvr.core.replacing`."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2) + "\n")
