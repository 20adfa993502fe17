"""Hashes of files, by several threads: a checkpoint of a large model is read at the disk's speed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Of a file that is hashed in pieces.
PIECE = 64 * 2**20
THREADS = min(16, os.cpu_count() or 1)
_BUFFER = 2**20


def file_hash(file: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def file_hashes(files: Sequence[Path]) -> list[str]:
    """`file_hash` of each, several at once."""
    with ThreadPoolExecutor(THREADS) as pool:
        return [*pool.map(file_hash, files)]


def digests(files: Sequence[Path]) -> list[str]:
    """What tells a file's content from any other, several pieces at once: `file_hash`, or for a file of
    several pieces that of their hashes, with their number: HEX-NUMBER."""
    starts = [range(0, max(file.stat().st_size, 1), PIECE) for file in files]
    with ThreadPoolExecutor(THREADS) as pool:
        asked = [
            [pool.submit(_piece_hash, file, start) for start in own]
            for file, own in zip(files, starts, strict=True)
        ]
        found = [[piece.result() for piece in own] for own in asked]
    return [own[0] if len(own) == 1 else _joined(own) for own in found]


def tree_digests(directory: Path) -> dict[str, str]:
    """The digest of every file below a directory, by its path in it."""
    files = sorted(f for f in directory.rglob("*") if f.is_file())
    return {
        str(file.relative_to(directory)): digest for file, digest in zip(files, digests(files), strict=True)
    }


def _piece_hash(file: Path, start: int) -> str:
    found = hashlib.sha256()
    with open(file, "rb", buffering=0) as content:
        content.seek(start)
        left = PIECE
        while left and (read := content.read(min(_BUFFER, left))):
            found.update(read)
            left -= len(read)
    return found.hexdigest()


def _joined(pieces: Sequence[str]) -> str:
    return f"{hashlib.sha256(''.join(pieces).encode()).hexdigest()}-{len(pieces)}"
