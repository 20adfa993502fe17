"""Checkpoints: whole or not there, whatever happens to the files or the disk."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from rlvr.core.checkpoint import Checkpoint, CheckpointError, commit, newest_valid, weight_hash


def write(checkpoint: Checkpoint, size: int = 8) -> None:
    save_file({"w": torch.full((size,), float(checkpoint.step))}, checkpoint.policy / "model.safetensors")
    torch.save({"step": checkpoint.step}, checkpoint.trainer / "state.pt")


def names(directory: Path) -> list[str]:
    return sorted(p.name for p in directory.iterdir())


def test_keeps_the_newest(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        commit(tmp_path, step, write, keep_last=2)
    assert names(tmp_path) == ["step_000020", "step_000030"]
    newest, passed_over = newest_valid(tmp_path)
    assert newest is not None and newest.step == 30 and passed_over == []


def test_the_umask_says_who_may_read(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        path = commit(tmp_path, 10, write, keep_last=1).path
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in path.rglob("*") if file.is_file()} == {0o640}


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda p: flip(p / "policy/model.safetensors"), "policy/model.safetensors differs"),
        (lambda p: (p / "trainer/state.pt").unlink(), "trainer/state.pt is missing"),
        (lambda p: os.truncate(p / "policy/model.safetensors", 20), "policy/model.safetensors differs"),
        (lambda p: (p / "manifest.json").write_text("{"), "manifest cannot be read"),
        (lambda p: (p / "manifest.json").unlink(), "manifest cannot be read"),
        (lambda p: p.rename(p.with_name(".partial-000020")), "was never finished"),
    ],
)
def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, damage, said: str) -> None:  # type: ignore[no-untyped-def]
    commit(tmp_path, 10, write, keep_last=2)
    commit(tmp_path, 20, write, keep_last=2)
    damage(tmp_path / "step_000020")
    newest, passed_over = newest_valid(tmp_path)
    assert newest is not None and newest.step == 10
    assert len(passed_over) == 1 and said in passed_over[0]
    commit(tmp_path, 20, write, keep_last=2)
    assert newest_valid(tmp_path) == (Checkpoint(20, tmp_path / "step_000020"), [])


def test_a_damaged_later_checkpoint_is_not_kept_in_the_place_of_a_whole_one(tmp_path: Path) -> None:
    commit(tmp_path, 150, write, keep_last=1)
    (commit(tmp_path, 173, write, keep_last=2).trainer / "state.pt").unlink()
    commit(tmp_path, 160, write, keep_last=1)
    assert names(tmp_path) == ["step_000160"]


def test_nothing_valid(tmp_path: Path) -> None:
    assert newest_valid(tmp_path / "none") == (None, [])


def test_an_error_while_writing_leaves_nothing(tmp_path: Path) -> None:
    def broken(checkpoint: Checkpoint) -> None:
        write(checkpoint)
        raise ValueError("not a matter of the disk")

    with pytest.raises(ValueError, match="not a matter"):
        commit(tmp_path, 10, broken, keep_last=1)
    assert names(tmp_path) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_keeps_the_last_checkpoint(small_disk: Path) -> None:
    commit(small_disk, 10, write, keep_last=1)
    with pytest.raises(CheckpointError, match=r"Checkpoints left: step_000010\. Free space"):
        commit(small_disk, 20, lambda c: write(c, size=1 << 20), keep_last=1)
    assert names(small_disk) == ["step_000010"]
    assert newest_valid(small_disk)[0] == Checkpoint(10, small_disk / "step_000010")


def test_weight_hash_is_of_the_safetensors_alone(tmp_path: Path) -> None:
    first = commit(tmp_path, 10, write, keep_last=3)
    before = weight_hash(first.policy)
    (first.policy / "config.json").write_text("{}")
    assert weight_hash(first.policy) == before
    assert weight_hash(commit(tmp_path, 20, write, keep_last=3).policy) != before
    with pytest.raises(CheckpointError, match="holds no"):
        weight_hash(tmp_path)


def test_an_interruptions_checkpoint_pushes_out_no_scheduled_one(tmp_path: Path) -> None:
    for step in (10, 20, 23, 30, 37):
        commit(tmp_path, step, write, keep_last=2, scheduled=lambda step: step % 10 == 0)
        last = names(tmp_path)
        if step == 23:
            assert last == ["step_000010", "step_000020", "step_000023"]
    assert last == ["step_000020", "step_000030", "step_000037"]
