"""Rows of jsonl, json, csv, tsv and parquet files, the text ones also as .gz.

A row is read when it is called for, so that one bad row does not hide the others; a file that cannot be
read to its end is an error, whatever else was asked for.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from rlvr.tasks.data.columns import DataError
from rlvr.tasks.sources import Parse, RowError, file_rows

# What programs write into a CSV for a value that is missing.
MISSING = {"nan", "<na>", "#n/a", "null"}
DELIMITERS = ",;\t|"
BROKEN = (OSError, EOFError, zlib.error)


def rows_of(path: Path) -> Iterator[Parse]:
    """A function per row that gives its columns or raises RowError. Raises DataError."""
    name = path.name.removesuffix(".gz")
    if name.endswith((".csv", ".tsv")):
        return _csv_rows(path, "\t" if name.endswith(".tsv") else None)
    if name.endswith(".json"):
        return _json_rows(path)
    return file_rows(path)


def _bytes(path: Path) -> bytes:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return file.read()
    except BROKEN as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _json_rows(path: Path) -> Iterator[Parse]:
    """A list of objects, or an object with one list of them; one object a line is read as jsonl is."""
    content = _bytes(path).removeprefix(codecs.BOM_UTF8)
    try:
        read = json.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not valid UTF-8 at byte {error.start}") from None
    except (ValueError, RecursionError) as error:
        lines = [line for line in content.splitlines() if line.strip()]
        if len(lines) > 1 and lines[0].lstrip().startswith(b"{"):
            yield from (partial(_object, line) for line in lines)
            return
        raise DataError(f"{path} is not JSON: {error}") from None
    lists = (
        [value for value in read.values() if isinstance(value, list)] if isinstance(read, dict) else [read]
    )
    if len(lists) != 1 or not isinstance(lists[0], list):
        raise DataError(
            f"{path} holds a JSON {type(read).__name__} that is no list of rows: write a list of objects, or "
            "one object a line as .jsonl (pandas: to_json(orient='records'))"
        )
    yield from (partial(_is_object, row) for row in lists[0])


def _object(line: bytes) -> dict[str, Any]:
    try:
        return _is_object(json.loads(line.decode("utf-8")))
    except UnicodeDecodeError as error:
        raise RowError(f"not valid UTF-8 at byte {error.start} of the line") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, RowError):
            raise
        raise RowError(f"not JSON: {error}") from None


def _is_object(row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise RowError(f"a JSON {type(row).__name__} where an object of columns is expected")
    return row


def _csv_rows(path: Path, delimiter: str | None) -> Iterator[Parse]:
    """The header names the columns. What is no UTF-8 becomes half a surrogate, which a row is refused for."""
    content = _bytes(path)
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{path} is UTF-16: save it as UTF-8 (in a spreadsheet: CSV UTF-8)")
    text = content.removeprefix(codecs.BOM_UTF8).decode("utf-8", errors="surrogateescape")
    delimiter = delimiter or _delimiter(text)
    csv.field_size_limit(2**31 - 1)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begun = 1
    try:
        header = next(lines, [])
        if repeated := {name for name in header if header.count(name) > 1}:
            raise DataError(f"{path}: the column {min(repeated)!r} stands in the header twice")
        if "\0" in text:
            raise DataError(f"{path} holds NUL bytes: it is no text file")
        begun = lines.line_num + 1
        for cells in lines:
            if cells:
                yield partial(_cells, header, cells, begun)
            begun = lines.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{path} cannot be read to its end: {error}, in the row that begins in line {begun}. Is a quote "
            "never closed there? (quotes inside a cell are doubled)"
        ) from None


def _delimiter(text: str) -> str:
    """The one of `DELIMITERS` that stands most often in the header; a comma where none does."""
    head = text.partition("\n")[0]
    return max(DELIMITERS, key=head.count)


def _cells(header: list[str], cells: list[str], line: int) -> dict[str, Any]:
    if len(cells) != len(header):
        raise RowError(f"line {line} has {len(cells)} cells, the header {len(header)}")
    row: dict[str, Any] = {}
    for name, cell in zip(header, cells, strict=True):
        if cell.isascii() or not any("\ud800" <= c <= "\udfff" for c in cell):
            row[name] = None if cell.strip().casefold() in MISSING else cell
        else:
            raise RowError(f"column {name!r} (line {line}) is not valid UTF-8: save the file as UTF-8")
    return row
