"""Record files, JSON lines and JSON objects: the one reader that says what is wrong in which line.

What this package writes has checksums beside it, in .sums/<name of the file>: of every line where it ends, in
bytes, and its CRC-32. A line that is not what was written is named in a warning and read as it stands, since
people may edit these files; a file without checksums is read as it is.
"""

from __future__ import annotations

import json
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlvr.core.errors import UserError

SUMS = ".sums"
_TRIES = 3


class RecordError(UserError):
    """A record file is damaged; the message says in which line, and what is whole."""

    status = 2


@dataclass(frozen=True)
class Line:
    """A whole line. end: where it ends in the file, in bytes, with its newline."""

    number: int
    text: bytes
    row: dict[str, Any]
    end: int


def read_jsonl(path: Path, *needs: str, once: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Every row; a last line that a crash cut short is left out. Empty where there is no file.

    needs: keys that every row has, of which `step` is a whole number. once: keys that tell rows apart; a row
    that is there twice counts once. Raises RecordError.
    """
    return [line.row for line in read_lines(path, *needs, once=once)]


def read_lines(path: Path, *needs: str, once: Sequence[str] = ()) -> list[Line]:
    """See `read_jsonl`."""
    content, sums = _with_sums(path)
    lines = _parsed(path, content)
    for line in lines:
        if wrong := _lacks(line.row, needs, stepped="step" in (*needs, *once)):
            raise RecordError(f"{path}, line {line.number}: {wrong}. {_left(line.number, len(lines))}")
    _warn_of_changes(path, lines, sums)
    return distinct(path, lines, once) if once else lines


def read_object(path: Path, *needs: str, remedy: str = "restore it") -> dict[str, Any]:
    """A file that is one JSON object. needs: keys that it has. remedy: what helps where it is damaged.

    Raises RecordError, FileNotFoundError.
    """
    content, sums = _with_sums(path, missing=False)
    value, wrong = _object(content)
    if value is None or (wrong := ", ".join(f"has no {key}" for key in needs if key not in value)):
        raise RecordError(f"{path} is not whole: {wrong}. Everything beside it was left as it is: {remedy}")
    if sums and sums.get(len(content)) != f"{zlib.crc32(content):08x}":
        warnings.warn(f"{path}: is not what was written {_advice(path)}", stacklevel=2)
    return value


def sum_of(end: int, text: bytes) -> str:
    """The checksum of a line, as it stands in .sums. text: with its newline, if it has one."""
    return f"{end:x} {zlib.crc32(text):08x}\n"


def sums_file(path: Path) -> Path:
    """Where the checksums of a record file are."""
    return path.parent / SUMS / path.name


def kept_sums(path: Path, lines: Sequence[Line]) -> str:
    """Checksums of these lines one after another: of a line that has one its own, so that a changed one stays
    known."""
    known, end, sums = _sums(path), 0, []
    for line in lines:
        end += len(line.text)
        stored = known.get(line.end)
        sums.append(sum_of(end, line.text) if stored is None else f"{end:x} {stored}\n")
    return "".join(sums)


def _parsed(path: Path, content: bytes) -> list[Line]:
    *whole, rest = content.split(b"\n")
    lines, end = [], 0
    for number, text in enumerate([*whole, *([rest] if rest else [])], start=1):
        is_cut = number > len(whole)
        own = text if is_cut else text + b"\n"
        end += len(own)
        row, wrong = _object(text)
        if row is None and is_cut:
            break
        if row is None:
            raise RecordError(f"{path}, line {number}: {wrong}. {_left(number, len(whole))}")
        lines.append(Line(number, own, row, end))
    return lines


def _object(text: bytes) -> tuple[dict[str, Any] | None, str]:
    """The object that a text is, or None and what it is instead."""
    if not text.strip():
        return None, "is empty"
    try:
        value = json.loads(text.decode())
    except UnicodeDecodeError as error:
        return None, f"is not UTF-8 ({error.reason} at byte {error.start + 1})"
    except (ValueError, RecursionError) as error:
        return None, f"is not JSON ({error})"
    if not isinstance(value, dict):
        return None, f"is {_kind(value)}, not an object"
    return value, ""


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a text", type(None): "null", bool: "true or false"}
    return names.get(type(value), "a number")


def _lacks(row: dict[str, Any], needs: Sequence[str], stepped: bool) -> str:
    if missing := sorted({*needs} - row.keys()):
        return f"has no {', '.join(missing)}"
    step = row.get("step", 0)
    if stepped and (not isinstance(step, int) or isinstance(step, bool) or step < 0):
        return f"its step is {step!r:.40}, not a whole number"
    return ""


def _left(number: int, count: int) -> str:
    kept = [f"lines 1 to {number - 1}"] if number > 1 else []
    kept += [f"{number + 1} to {count}"] if number < count else []
    whole = f"{' and '.join(kept)} were kept" if kept else "it has no other line"
    return f"Nothing was changed, {whole}: put the line right, or take it out, to go on without it"


def distinct(path: Path, lines: list[Line], keys: Sequence[str]) -> list[Line]:
    """The lines, one that is there twice once. keys: those that tell rows apart. Raises RecordError."""
    found: dict[str, Line] = {}
    for line in lines:
        about = json.dumps([line.row.get(key) for key in keys])
        first = found.setdefault(about, line)
        if first is line:
            continue
        named = ", ".join(f"{key} {line.row.get(key)}" for key in keys)
        if first.text.strip() != line.text.strip():
            raise RecordError(
                f"{path}, line {line.number}: {named} stands in line {first.number} too, with other values. "
                "Nothing was changed: take out the one that is wrong"
            )
        warnings.warn(f"{path}, line {line.number}: the same as line {first.number}, left out", stacklevel=4)
    return list(found.values())


def _with_sums(path: Path, missing: bool = True) -> tuple[bytes, dict[int, str]]:
    """A file's content, with checksums that were not written anew meanwhile. Raises RecordError."""
    for _ in range(_TRIES):
        before = _sums(path)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            if not missing:
                raise
            content = b""
        except OSError as error:
            raise RecordError(f"{path} cannot be read: {error}. Nothing was changed") from None
        if before.keys() <= _sums(path).keys():
            return content, before
    return content, {}


def _sums(path: Path) -> dict[int, str]:
    """CRC-32 by the end of the line; what cannot be read of them is as if it were not there."""
    try:
        entries = [line.split() for line in sums_file(path).read_text("ascii", "replace").split("\n")]
    except OSError:
        return {}
    sums = {}
    for entry in entries:
        try:
            end, found = entry
            if len(found) == 8:  # a crash may cut the last one short
                sums[int(end, 16)] = found
        except ValueError:
            continue
    return sums


def _advice(path: Path) -> str:
    return f"(if you changed it yourself, remove {sums_file(path)})"


def _warn_of_changes(path: Path, lines: Sequence[Line], sums: dict[int, str]) -> None:
    ends = {line.end for line in lines}
    last = max(ends, default=0)
    moved = any(end <= last for end in sums.keys() - ends)
    changed = [
        line.number
        for line in lines
        if (moved if line.end not in sums else sums[line.end] != f"{zlib.crc32(line.text):08x}")
    ]
    if changed:
        what = f", line {changed[0]}: is not what was written"
        what += f", nor are {len(changed) - 1} more" if len(changed) > 1 else ""
    elif gone := [end for end in sums if end > last]:
        what = f": {len(gone)} line(s) at its end are gone" if last else ": what was written is gone"
    else:
        return
    warnings.warn(f"{path}{what} {_advice(path)}", stacklevel=4)
