"""What a file system refuses is said with its name and with what is safe, whoever found out."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from rlvr.core.disk import MEANINGS, DiskError, described, find_error, told, unwritable
from rlvr.core.errors import exit_status
from rlvr.core.run_dir import append_jsonl, write_json
from rlvr.planning.checks import PlaceError, check_places
from rlvr.planning.recipe import load_config

BIG = torch.zeros(1 << 19)  # 2 MiB
TEXT = "x" * (2 << 20)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of 1 MiB."""
    place = tmp_path_factory.mktemp("disk")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield place
    subprocess.run(["umount", place], check=True)


WRITERS: dict[str, Callable[[Path], Any]] = {
    "torch": lambda path: torch.save({"a": BIG}, path),
    "torch, an open file": lambda path: torch.save({"a": BIG}, open(path, "wb")),  # noqa: SIM115
    "safetensors": lambda path: save_file({"a": BIG}, path),
    "pyarrow": lambda path: pq.write_table(pa.table({"a": [os.urandom(2 << 20)]}), path),
    "text": lambda path: path.write_text(TEXT),
    "json": lambda path: write_json(path, TEXT),
    "lines": lambda path: append_jsonl(path, {"a": TEXT}),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_known_by_whatever_is_raised(disk: Path, writer: str) -> None:
    path = disk / "file"
    with pytest.raises(DiskError) as raised, told(lambda: [disk], lambda: "Saved: step_000004."):
        WRITERS[writer](path)
    path.unlink(missing_ok=True)
    said = str(raised.value)
    assert f"the file system {disk} (" in said and "of 1 MiB free) is full" in said, said
    assert "Saved: step_000004. To go on, free space there" in said


@pytest.mark.parametrize("number", MEANINGS)
def test_every_error_of_a_disk_has_a_meaning(number: int, tmp_path: Path) -> None:
    def fail() -> None:
        raise OSError(number, os.strerror(number), str(tmp_path / "a"))

    with pytest.raises(OSError) as raised:  # noqa: PT011
        fail()
    assert find_error(raised.value) == (number, str(tmp_path / "a"))
    with pytest.raises(DiskError, match=MEANINGS[number][0]), told(lambda: [tmp_path]):
        fail()


@pytest.mark.parametrize("error", [ValueError("no"), FileNotFoundError(errno.ENOENT, "none"), KeyError("a")])
def test_what_is_not_of_the_disk_stays_what_it_is(error: Exception) -> None:
    assert described(error, ()) is None
    with pytest.raises(type(error)), told(lambda: ()):
        raise error


def test_a_command_says_it_and_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert exit_status(lambda: (tmp_path / "file" / "below").mkdir()) == 1
    said = capsys.readouterr().err
    assert "has a file where a directory should be" in said and str(tmp_path / "file") in said


def test_a_read_only_file_system_and_a_file_in_the_way_are_found_beforehand(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert unwritable(tmp_path / "new" / "newer") is None
    assert str(unwritable(tmp_path / "file" / "below")).endswith("is a file, and a directory should be there")
    assert "is read-only" in str(unwritable(Path("/proc/sys"))) or "cannot be written" in str(
        unwritable(Path("/proc/sys"))
    )


@pytest.mark.parametrize("what", ["run_dir", "store"])
def test_a_run_is_refused_before_anything_is_loaded(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RLVR_STORE", str(tmp_path / ("file" if what == "store" else "store")))
    run = tmp_path / ("file/run" if what == "run_dir" else "run")
    config = load_config(["recipe=grpo_tiny", f"run_dir={run}"])
    with pytest.raises(PlaceError, match=f"{what}.*is a file, and a directory should be there"):
        check_places(config)
    monkeypatch.setenv("RLVR_STORE", str(tmp_path / "store"))
    check_places(load_config(["recipe=grpo_tiny", f"run_dir={tmp_path}/run"]))
    assert not (tmp_path / "run").exists()
