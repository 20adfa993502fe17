"""Dotted keys: `optim.lr` is the key lr of the section optim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings laid over each other."""
    result = dict(under)
    for key, value in over.items():
        below = result.get(key)
        nested = isinstance(below, Mapping) and isinstance(value, Mapping)
        result[key] = merged(below, value) if nested else value  # type: ignore[arg-type]
    return result


def flattened(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys -> values."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def covers(keys: Sequence[str], key: str) -> bool:
    """Whether one of `keys` is the dotted key or a section that it belongs to."""
    return any(key == one or key.startswith(f"{one}.") for one in keys)
