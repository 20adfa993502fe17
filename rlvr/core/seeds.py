"""Seeds and counter-based uniform numbers, so that a sample depends on its own identity alone."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def derive_seed(*identity: object) -> int:
    """A 63-bit seed from anything that names a sample, such as run seed, stage, step, problem, index."""
    text = "\x1f".join(str(part) for part in identity)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def uniforms(seeds: NDArray[np.uint64], position: int | NDArray[np.int64]) -> NDArray[np.float64]:
    """One number in [0, 1) for each seed at its position: splitmix64 (Steele, Lea, Flood 2014), twice.

    seeds: [b]; position: 0, 1, ..., one for all or [b]; returns [b]. The top bits are left out so that 1 is
    never reached, not even after multiplication with a total probability near 1.
    """
    with np.errstate(over="ignore"):
        stream = _mix(seeds + _GOLDEN)
        bits = _mix(stream + np.asarray(position + 1, dtype=np.uint64) * _GOLDEN)
    return (bits >> np.uint64(12)).astype(np.float64) * 2.0**-52


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
