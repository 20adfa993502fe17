"""Where a task's rows come from: a local file, or the hub; and what happens to rows that are bad.

A task `name` is looked for as name.jsonl, name.jsonl.gz or name.parquet in `task.source` (a directory,
or the file itself), then in $RLVR_DATA, in each also in the folders math/ and code/, then on the hub.
Rows are counted from 0. All of this happens before a model is loaded.
"""

from __future__ import annotations

import codecs
import gzip
import json
import math
import os
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from rlvr.tasks import Problem, TaskError

# What is done about a bad row: stop with an error that names it, or leave it out and count it.
BadRows = Literal["stop", "skip"]

SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
FOLDERS = ("", "math", "code")
# Rows of a Parquet file that are read at once.
ROWS_TOGETHER = 1000
# Columns that may name a problem, in this order; the row's number where there is none.
ID_COLUMNS = ("unique_id", "id", "idx")


class RowError(ValueError):
    """One row cannot be used; the message says why and which column, `load_problems` adds file and row."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a data set. Its methods raise RowError where a column is not what they promise."""

    number: int
    values: Mapping[str, Any]

    def value(self, column: str) -> Any:
        """What the column holds, never null."""
        if column not in self.values:
            raise RowError(f"no column {column!r}; there are {', '.join(self.values) or 'none'}")
        if self.values[column] is None:
            raise RowError(f"column {column!r} is null")
        return self.values[column]

    def text(self, column: str) -> str:
        """The column's text, not blank; a number is written as an integer where it is one."""
        value = self.value(column)
        if isinstance(value, float) and math.isfinite(value):
            value = int(value) if value.is_integer() else repr(value)
        if isinstance(value, bool | float) or not isinstance(value, str | int):
            raise RowError(f"column {column!r} is {value!r:.60}, not text or a number")
        return checked_text(str(value), column)

    @property
    def id(self) -> str:
        """unique_id, else id, else idx, else the row's number."""
        return next((self.text(column) for column in ID_COLUMNS if column in self.values), str(self.number))


@dataclass(frozen=True, slots=True)
class Hub:
    """A split on the hub, for `datasets.load_dataset(path, name, split=split, revision=revision)`."""

    path: str
    split: str
    revision: str
    name: str | None = None

    def __str__(self) -> str:
        return f"{self.path} ({', '.join(filter(None, (self.name, self.split)))}) at {self.revision[:10]}"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Problems in the order of their rows, and the number of bad rows that were left out."""

    problems: list[Problem]
    skipped: int = 0


def checked_text(text: str, column: str) -> str:
    """The text, if it is not blank and can be written as UTF-8; RowError otherwise."""
    if not text.strip():
        raise RowError(f"column {column!r} is empty")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise RowError(f"column {column!r} is not valid UTF-8: it holds half of a surrogate pair") from None
    return text


def load_problems(
    name: str, source: str | None, hub: Hub | None, make: Callable[[Row], Problem], bad_rows: BadRows
) -> Loaded:
    """The problems that `make` makes of the rows of data set `name`; `make` raises RowError for a bad row.

    Raises TaskError for data that cannot be found or read, for a bad row or an id that was seen before
    (with bad_rows="skip" these are counted instead, with one warning), and where no row is left.
    """
    place, rows = find_rows(name, source, hub)
    problems: dict[str, Problem] = {}
    complaints: list[str] = []
    for number, parse in enumerate(rows):
        try:
            problem = make(Row(number, parse()))
            if problem.id in problems:
                raise RowError(f"id {problem.id!r} was already given to an earlier row")
            problems[problem.id] = problem
        except RowError as error:
            complaints.append(f"{place}, row {number}: {error}")
            if bad_rows == "stop":
                advice = "Rows count from 0. Correct the data, or leave such rows out with bad_rows=skip."
                raise TaskError(f"task {name}: {complaints[0]}. {advice}") from None
    if not problems:
        reason = f"all {len(complaints)} rows are bad, first {complaints[0]}" if complaints else "no rows"
        raise TaskError(f"task {name}: {place} holds no problem: {reason}")
    if complaints:
        left_out = f"task {name}: {len(complaints)} of {len(complaints) + len(problems)} rows are left out"
        warnings.warn(f"{left_out} by bad_rows=skip, first {complaints[0]}", stacklevel=2)
    return Loaded(list(problems.values()), len(complaints))


# A row is read when it is called for, so that one bad row does not hide the others.
Parse = Callable[[], dict[str, Any]]


def find_rows(name: str, source: str | None, hub: Hub | None) -> tuple[str, Iterator[Parse]]:
    """Where the data set was found, for messages, and a function per row that reads it or raises RowError.

    Raises TaskError where it is nowhere, or where a given source does not exist.
    """
    looked = []
    for root in filter(None, (source, os.environ.get("RLVR_DATA"))):
        if not Path(root).exists():
            raise TaskError(f"task {name}: {root} does not exist; it is task.source or $RLVR_DATA")
        for place in _places(name, Path(root)):
            if place.is_file():
                return str(place), file_rows(place)
            looked.append(str(place))
    advice = (
        f"Give the file, or the directory of {name}.jsonl, {name}.jsonl.gz or {name}.parquet, as "
        "task.source=..., or its directory in $RLVR_DATA"
    )
    where = f"looked for {', '.join(looked)}" if looked else "neither task.source nor $RLVR_DATA is set"
    if hub is None or not _hub_allowed.get():
        raise TaskError(f"task {name}: no data. {advice} ({where})")
    return f"hub data set {hub}", _hub_rows(name, hub, f"{advice} ({where})")


def _places(name: str, root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    return [root / folder / f"{name}{suffix}" for folder in FOLDERS for suffix in SUFFIXES]


def file_rows(path: Path) -> Iterator[Parse]:
    """A function per row of a file that reads it or raises RowError. Raises TaskError for other kinds."""
    if path.suffix == ".parquet":
        return _parquet_rows(path)
    if path.name.endswith((".jsonl", ".jsonl.gz")):
        return _json_rows(path)
    raise TaskError(f"{path}: a data file is one of *{', *'.join(SUFFIXES)}")


def _json_rows(path: Path) -> Iterator[Parse]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            blank: list[bytes] = []  # rows that were lost, unless nothing follows
            for number, line in enumerate(lines):
                line = line if number else line.removeprefix(codecs.BOM_UTF8)
                blank.append(line)
                if line.strip():
                    for row in blank:
                        yield partial(_json_object, row)
                    blank = []
    except (OSError, EOFError, zlib.error) as error:
        raise TaskError(f"{path} cannot be read: {error}") from error


def _json_object(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RowError(f"not valid UTF-8 at byte {error.start} of the line") from None
    except (ValueError, RecursionError) as error:
        raise RowError(f"not JSON: {error}") from None
    if not isinstance(row, dict):
        raise RowError(f"a JSON {type(row).__name__} where an object of columns is expected")
    return row


def _parquet_rows(path: Path) -> Iterator[Parse]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise TaskError(f"{path} cannot be read: {error}") from error

    def parse(number: int) -> dict[str, Any]:
        try:
            return table.slice(number, 1).to_pylist()[0]
        except UnicodeDecodeError:
            raise RowError("not valid UTF-8") from None

    for start in range(0, table.num_rows, ROWS_TOGETHER):
        try:
            yield from (partial(dict, row) for row in table.slice(start, ROWS_TOGETHER).to_pylist())
        except UnicodeDecodeError:  # of one of them
            yield from (partial(parse, i) for i in range(start, min(start + ROWS_TOGETHER, table.num_rows)))


_hub_allowed = ContextVar("hub_allowed", default=True)


def hub_is_allowed() -> bool:
    """Whether the hub may be asked, which it may not `without_hub`."""
    return _hub_allowed.get()


@contextmanager
def without_hub() -> Iterator[None]:
    """In this block a task without local data is a TaskError, and nothing is asked of the hub."""
    token = _hub_allowed.set(False)
    try:
        yield
    finally:
        _hub_allowed.reset(token)


def _hub_rows(name: str, hub: Hub, advice: str) -> Iterator[Parse]:
    import datasets

    try:
        rows = datasets.load_dataset(hub.path, hub.name, split=hub.split, revision=hub.revision)
    except Exception as error:  # the hub's client raises errors of half a dozen libraries
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise TaskError(f"task {name}: cannot get the hub data set {hub}: {reason}. {advice}") from error
    for row in rows:
        yield partial(dict, row)
