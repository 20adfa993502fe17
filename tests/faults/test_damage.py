"""The campaign of damages in small: every kind once, and some at random; the whole of it is a command."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from forked import finished

from faults.damage import Campaign, campaign
from faults.harm import BYTES, LINES
from faults.subjects import Subject, parts
from rlvr.core.errors import UserError


@pytest.fixture(scope="module")
def place(offline_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of a run that other tests made too, with the store and a base beside it."""
    directory = tmp_path_factory.mktemp("damage")
    for part in ("run", "store"):
        shutil.copytree(offline_run.parent / part, directory / part)
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(offline_run.parent))  # its hook
        yield directory


def test_every_kind_of_damage_is_found(place: Path) -> None:
    running = Campaign(place, parts(place))
    kinds = {part.name: {**BYTES, **(LINES if part.texts else {})} for part in running.parts}
    for part in running.parts:
        for number, (kind, harm) in enumerate(kinds[part.name].items()):
            file = list(part.files)[number % len(part.files)]
            running.damage(part, file, kind, harm, Random(number), "the table")
    assert running.found.failures == []
    assert running.found.total("named") > 0.7 * running.found.tries


def test_random_damages_are_found_and_repeat(place: Path) -> None:
    found = campaign(40, 7, place)
    assert found.failures == [] and found.tries == 40
    assert campaign(40, 7, place, only=3).counts.total() == 1


@pytest.mark.slow
def test_a_run_of_its_own_is_damaged(tmp_path: Path) -> None:
    def start(arguments: list[str], directory: Path, environment: dict[str, str]) -> int:
        return finished(arguments, directory, environment).returncode

    assert campaign(300, int(os.environ.get("RLVR_SEED", "1")), tmp_path, start=start).failures == []


def readers(file: Path) -> dict[str, tuple[Subject, str]]:
    def error(_: Path) -> object:
        if file.read_bytes() != b"whole":
            raise UserError("damaged")
        return 1

    def bug(_: Path) -> object:
        return 1 if file.read_bytes() == b"whole" else 1 / 0

    def warning(_: Path) -> object:
        if file.read_bytes() != b"whole":
            warnings.warn("damaged", stacklevel=1)
        return file.read_bytes()

    return {
        "silent": (Subject("part", [file], lambda path: path.read_bytes()), "silent"),
        "traceback": (Subject("part", [file], bug), "traceback"),
        "error": (Subject("part", [file], error), "named"),
        "warning": (Subject("part", [file], warning), "named"),
        "unused": (Subject("part", [file], lambda path: 1), "harmless"),
    }


@pytest.mark.parametrize("name", ["silent", "traceback", "error", "warning", "unused"])
def test_the_campaign_tells_outcomes_apart(tmp_path: Path, name: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"whole")
    part, outcome = readers(file)[name]
    running = Campaign(tmp_path, [part])
    assert running.damage(part, file, "flipped bit", BYTES["flipped bit"], Random(0), "try 0") == outcome
    assert file.read_bytes() == b"whole"
    failed = outcome in ("silent", "traceback")
    assert ("FAILED try 0: flipped bit in file" in str(running.found)) is failed
