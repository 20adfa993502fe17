"""A disk that fills up at any write: a typed error that names it, and with more room the same result."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faults.evidence import differences, evidence, litter
from faults.kills import Whole
from faults.outcome import Outcome
from faults.programs import KINDS, PATIENCE, Kind, prepare, start

# What is tried in turn, and what of the directory lies on the small disk: by turns the store and the run.
TRIED = ("run", "probe", "left", "detached")
ENDED = 1  # a typed error's exit status
MARGIN = 0.05


def campaign(tries: int, seed: int, directory: Path) -> Outcome:
    """So many programs, each on a disk of a size of its own, from almost nothing to almost enough."""
    outcome, whole = Outcome("disk full"), Whole(directory / "whole")
    for number in range(seed, seed + tries):
        kind = KINDS[TRIED[number % len(TRIED)]]
        place = directory / f"try-{number}"
        needed = _size(whole(kind))
        prepare(kind, place, whole)
        began = _size(place)
        room = began + int(random.Random(number).uniform(MARGIN, 1.0) * max(needed - began, 1 << 16))
        with small_disk(place, room) as mounted:
            if not mounted:
                outcome.notes.append("needs the right to mount a tmpfs")
                return outcome
            failures = one_try(kind, place, evidence(whole(kind)), outcome)
        outcome.tries += 1
        outcome.failures += [f"seed {number} ({kind.name}): {failure}" for failure in failures]
        print(f"  disk full: {outcome.tries} of {tries}, {len(outcome.failures)} failures", flush=True)
        shutil.rmtree(place, ignore_errors=True)
    return outcome


def one_try(kind: Kind, place: Path, expected: dict[str, object], outcome: Outcome) -> list[str]:
    """The program on the small disk, and again with room."""
    process = start(kind, place)
    status = process.wait(PATIENCE)
    errors = process.written()[1]
    failures = []
    if status:
        outcome.faults += 1
        if status != ENDED or "Traceback" in errors or "file system" not in errors:
            failures.append(f"ended with {status}: {errors[-1500:]}")
        if left := litter(place):
            failures.append(f"left {left}")
    subprocess.run(["mount", "-o", "remount,size=1g", place], check=True)
    again = start(kind, place)
    if again.wait(PATIENCE):
        return [*failures, f"with room it ended with {again.returncode}: {again.written()[1][-1500:]}"]
    return [*failures, *differences(expected, evidence(place)), *(f"left {one}" for one in litter(place))]


@contextmanager
def small_disk(place: Path, size: int) -> Iterator[bool]:
    """A file system of so many bytes with what lies in the directory, in its place; False where none can be
    mounted."""
    content = place.with_name(f"{place.name}-content")
    place.rename(content)
    place.mkdir()
    size = (size >> 12) + 16 << 12  # whole pages, and some for directories
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], capture_output=True, check=False
    )
    if made.returncode:
        yield False
        return
    try:
        shutil.copytree(content, place, dirs_exist_ok=True)
        yield True
    finally:
        subprocess.run(["umount", "-l", place], check=True)
        shutil.rmtree(content, ignore_errors=True)


def _size(directory: Path) -> int:
    """In whole pages, as a tmpfs counts."""
    return sum((path.stat().st_size + 4095) // 4096 * 4096 for path in directory.rglob("*") if path.is_file())
