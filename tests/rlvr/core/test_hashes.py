"""Hashes by several threads are those of the content, whatever its size."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
from safetensors.torch import save_file
from torch import zeros

from rlvr.core import hashes
from rlvr.core.checkpoint import Checkpoint, commit, find_fault


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1025, 5000, 10_240])
def test_a_digest_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(hashes, "PIECE", 1024)
    content = bytes(i * i % 251 for i in range(size))
    (tmp_path / "file").write_bytes(content)
    pieces = [sha256(content[i : i + 1024]).hexdigest() for i in range(0, max(size, 1), 1024)]
    joined = f"{sha256(''.join(pieces).encode()).hexdigest()}-{len(pieces)}"
    assert hashes.tree_digests(tmp_path) == {"file": pieces[0] if len(pieces) == 1 else joined}
    assert hashes.file_hashes([tmp_path / "file"]) == [sha256(content).hexdigest()]


def write(checkpoint: Checkpoint) -> None:
    save_file({"w": zeros(1000)}, checkpoint.policy / "model.safetensors")
    (checkpoint.trainer / "state.pt").write_bytes(bytes(3000))


def test_every_piece_of_a_checkpoint_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashes, "PIECE", 1024)
    checkpoint = commit(tmp_path, 10, write, keep_last=1)
    assert find_fault(checkpoint) is None
    file = checkpoint.trainer / "state.pt"
    for place in (0, 1023, 1024, 2999):
        content = bytearray(file.read_bytes())
        content[place] ^= 1
        file.write_bytes(content)
        assert find_fault(checkpoint) == "trainer/state.pt differs from what was written"
        file.write_bytes(bytes(3000))
    assert find_fault(checkpoint) is None


def test_older_manifests_hold_hashes_of_whole_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = commit(tmp_path, 10, write, keep_last=1)  # files of one piece: what older ones hold of any
    monkeypatch.setattr(hashes, "PIECE", 1024)
    listed = json.loads((checkpoint.path / "manifest.json").read_text())
    assert not any("-" in str(value) for value in listed.values())
    assert find_fault(checkpoint) is None
    (checkpoint.trainer / "state.pt").write_bytes(bytes(2999) + b"1")
    assert find_fault(checkpoint) == "trainer/state.pt differs from what was written"
