"""Single damages to a file: of bytes, and of lines where it is a text."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random

Harm = Callable[[bytes, Random], bytes]


def flipped_bit(content: bytes, random: Random) -> bytes:
    bit = random.randrange(8 * len(content))
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def other_byte(content: bytes, random: Random) -> bytes:
    place = random.randrange(len(content))
    other = random.choice([b for b in range(256) if b != content[place]])
    return content[:place] + bytes([other]) + content[place + 1 :]


def cut_off(content: bytes, random: Random) -> bytes:
    return content[: random.randrange(len(content))]


def zeroed(content: bytes, random: Random) -> bytes:
    """A block that a file system never wrote."""
    start = random.randrange(len(content))
    end = min(len(content), start + random.choice((1, 16, 512, 4096)))
    return content[:start] + bytes(end - start) + content[end:]


def lengthened(content: bytes, random: Random) -> bytes:
    place = random.randrange(len(content) + 1)
    return content[:place] + random.randbytes(random.randint(1, 8)) + content[place:]


def emptied(content: bytes, random: Random) -> bytes:
    return b""


BYTES: dict[str, Harm] = {
    "flipped bit": flipped_bit,
    "other byte": other_byte,
    "cut off": cut_off,
    "zeroed block": zeroed,
    "bytes put in": lengthened,
    "emptied": emptied,
}


def _of_lines(change: Callable[[list[bytes], int, Random], list[bytes]]) -> Harm:
    def harm(content: bytes, random: Random) -> bytes:
        lines = content.splitlines(keepends=True) or [b""]
        return b"".join(change(lines, random.randrange(len(lines)), random))

    return harm


def _without_key(lines: list[bytes], at: int, random: Random) -> list[bytes]:
    """A row, or the whole object, without one of its keys."""
    for text, put in (
        (lines[at], lambda made: [*lines[:at], made + b"\n", *lines[at + 1 :]]),
        (b"".join(lines), lambda made: [made + b"\n"]),
    ):
        try:
            row = json.loads(text)
        except ValueError:
            continue
        if isinstance(row, dict) and row:
            del row[random.choice([*row])]
            return put(json.dumps(row).encode())
    return lines[:at] + lines[at + 1 :]


def _other_digit(lines: list[bytes], at: int, random: Random) -> list[bytes]:
    content = b"".join(lines)
    places = [i for i, byte in enumerate(content) if chr(byte).isdigit()]
    if not places:
        return [content + b"7"]
    place = random.choice(places)
    digit = random.choice([d for d in b"0123456789" if d != content[place]])
    return [content[:place] + bytes([digit]) + content[place + 1 :]]


LINES: dict[str, Harm] = {
    "line lost": _of_lines(lambda lines, at, random: lines[:at] + lines[at + 1 :]),
    "line doubled": _of_lines(lambda lines, at, random: [*lines[: at + 1], *lines[at:]]),
    "blank line": _of_lines(lambda lines, at, random: [*lines[:at], b"\n", *lines[at:]]),
    "junk line": _of_lines(lambda lines, at, random: [*lines[:at], b"Killed\n", *lines[at:]]),
    "line a list": _of_lines(lambda lines, at, random: [*lines[:at], b"[1, 2]\n", *lines[at + 1 :]]),
    "line not UTF-8": _of_lines(
        lambda lines, at, random: [*lines[:at], b"\xff" + lines[at], *lines[at + 1 :]]
    ),
    "lines swapped": _of_lines(lambda lines, at, random: [*lines[at:], *lines[:at]]),
    "key lost": _of_lines(_without_key),
    "other digit": _of_lines(_other_digit),
    "null": lambda content, random: b"null\n",
    "a list": lambda content, random: b"[]\n",
    "empty object": lambda content, random: b"{}\n",
}
