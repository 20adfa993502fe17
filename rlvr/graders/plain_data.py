"""Plain Python data as JSON: how inputs enter a sandbox and outputs leave it, and when outputs are equal.

None, bool, str, finite numbers and lists stand for themselves; the rest is an object of one key:
{"tuple": [...]} {"set": [...]} {"frozenset": [...]} {"dict": [[key, value], ...]} {"int": hexadecimal}
{"float": "nan" | "inf" | "-inf"} {"complex": [real, imaginary]} {"bytes": hexadecimal}. An instance of a
subclass counts as its base, a number of numpy as Python's; an object of any other type is
{"object": type}, and equals nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

RELATIVE_TOLERANCE = 1e-7
# For floats where the problem names no tolerance of its own.
ABSOLUTE_TOLERANCE = 1e-6
_LARGEST_JSON_INT = 1 << 63


class NotPlainData(ValueError):
    """The JSON is not an encoding of plain data."""


@dataclass(frozen=True, slots=True)
class Opaque:
    """A value that is not plain data; all that is known is the name of its type."""

    type: str


def encode(value: Any) -> Any:
    """The value as what JSON can hold. Raises RecursionError for data that holds itself."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        number = int.__int__(value)
        return number if abs(number) < _LARGEST_JSON_INT else {"int": hex(number)}
    if isinstance(value, float):
        real = float.__float__(value)
        return real if math.isfinite(real) else {"float": repr(real)}
    if isinstance(value, complex):
        return {"complex": [encode(value.real), encode(value.imag)]}
    if isinstance(value, bytes | bytearray):
        return {"bytes": bytes(value).hex()}
    if isinstance(value, list):
        return [encode(item) for item in value]
    for kind in (tuple, set, frozenset):
        if isinstance(value, kind):
            return {kind.__name__: [encode(item) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(item)] for key, item in dict.items(value)]}
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        plain = value.item()
        if type(plain).__module__ != "numpy":
            return encode(plain)
    return {"object": type(value).__name__}


def _real(text: Any) -> float:
    if text not in ("nan", "inf", "-inf"):
        raise NotPlainData(f"float {text!r}")
    return float(text)


_DECODERS: Mapping[str, Callable[[Any], Any]] = {
    "tuple": lambda items: tuple(map(decode, items)),
    "set": lambda items: set(map(decode, items)),
    "frozenset": lambda items: frozenset(map(decode, items)),
    "dict": lambda pairs: {decode(key): decode(item) for key, item in pairs},
    "int": lambda text: int(text, 16),
    "float": _real,
    "complex": lambda parts: complex(*map(decode, parts)),
    "bytes": bytes.fromhex,
    "object": Opaque,
}


def decode(content: Any) -> Any:
    """The value that was encoded. Raises NotPlainData for what `encode` would not write."""
    if content is None or isinstance(content, bool | int | float | str):
        return content
    try:
        if isinstance(content, list):
            return [decode(item) for item in content]
        ((kind, inner),) = content.items()
        return _DECODERS[kind](inner)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise NotPlainData(str(error)) from None


def equal(value: Any, expected: Any, tolerance: float = 0.0, one_sequence: bool = False) -> bool:
    """Equality of decoded data: as Python's, but floats are close and nan equals nan.

    tolerance: absolute, for expected floats; 1e-6 where it is 0. one_sequence: a tuple equals a list.
    """
    if isinstance(value, Opaque) or isinstance(expected, Opaque):
        return False
    if isinstance(expected, float | complex) and isinstance(value, int | float | complex):
        return _close(value, expected, tolerance or ABSOLUTE_TOLERANCE)
    if one_sequence:
        value = list(value) if isinstance(value, tuple) else value
        expected = list(expected) if isinstance(expected, tuple) else expected
    if isinstance(expected, list | tuple):
        return (
            type(value) is type(expected)
            and len(value) == len(expected)
            and all(equal(v, e, tolerance, one_sequence) for v, e in zip(value, expected, strict=True))
        )
    if isinstance(expected, dict):
        return (
            isinstance(value, dict)
            and value.keys() == expected.keys()
            and all(equal(value[key], expected[key], tolerance, one_sequence) for key in expected)
        )
    return bool(value == expected)


def _close(value: complex, expected: complex, tolerance: float) -> bool:
    if value == expected or (value != value and expected != expected):
        return True
    try:
        if math.isinf(abs(expected)):
            return False
        return abs(value - expected) <= tolerance + RELATIVE_TOLERANCE * abs(expected)
    except OverflowError:  # an integer beyond the floats
        return False
