"""From files to rows that can be used: columns found, filters passed, bad rows refused or counted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rlvr.tasks.data.columns import Columns, DataError, found_columns, present
from rlvr.tasks.data.files import rows_of
from rlvr.tasks.data.parts import Parts, needed, parts_of
from rlvr.tasks.data.places import File, Side
from rlvr.tasks.overlap import text_key
from rlvr.tasks.sources import BadRows, Row, RowError

# Rows whose columns are looked at before any is used.
LOOKED_AT = 100
SHOWN = 20
CONTRADICTORY = "the question of another row with another answer"


@dataclass(frozen=True, slots=True)
class Item:
    """A row that can be used. side: train or test, where file or column say so."""

    place: str
    id: str
    parts: Parts
    columns: Mapping[str, Any]
    side: Side | None
    key: str  # its question as `text_key` reads it: items of one key are one problem


@dataclass
class Complaints:
    """What is wrong with rows: the first is raised, or all are counted and the first `SHOWN` kept."""

    bad_rows: BadRows
    count: int = 0
    first: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, place: str, what: str, kind: str) -> None:
        """Raises DataError if bad rows are to stop the run."""
        if self.bad_rows == "stop":
            raise DataError(
                f"{place}: {what}. Rows count from 0. Correct the data, or leave such rows out with "
                "task.bad_rows=skip"
            )
        self.count += 1
        self.kinds[kind] += 1
        if len(self.first) < SHOWN:
            self.first.append(f"{place}: {what}")


@dataclass(frozen=True)
class ReadData:
    """All usable rows, in the order of the files. guesses: columns that nobody named. filtered: rows that
    the filters left out."""

    items: list[Item]
    columns: Columns
    guesses: list[str]
    complaints: Complaints
    filtered: int
    rows: int


def read(
    files: Sequence[File],
    given: Columns,
    verifier: str,
    filters: Mapping[str, Any],
    longest_row: int,
    bad_rows: BadRows,
) -> ReadData:
    """Reads every file to its end. Raises DataError."""
    raw = [(file, number, row) for file in files for number, row in enumerate(rows_of(file.path))]
    if not raw:
        raise DataError(f"{', '.join(str(file.path) for file in files)} holds no rows")
    complaints = Complaints(bad_rows)
    several = len(files) > 1
    rows: list[tuple[File, Row]] = []
    for file, number, parse in raw:
        try:
            values = parse()
            if (size := _size(values)) > longest_row:
                raise RowError(f"{size:,} characters, more than task.longest_row={longest_row:,}")
            rows.append((file, Row(number, values)))
        except RowError as error:
            complaints.add(_place(file, number), str(error), "unreadable or too long")
    place = str(files[0].path) if not several else f"{files[0].path} and {len(files) - 1} more"
    there = dict.fromkeys(name for _, row in rows[:LOOKED_AT] for name in row.values)
    if not there:
        raise DataError(f"{place}: all {complaints.count} rows are bad, first {complaints.first[0]}")
    columns, guesses = found_columns(given, needed(verifier), there, place)
    _check_filters(filters, there, place)
    items, filtered = [], 0
    for file, row in rows:
        try:
            if not all(passes(row.values.get(column), wanted) for column, wanted in filters.items()):
                filtered += 1
                continue
            items.append(_item(file, row, columns, verifier, several))
        except RowError as error:
            complaints.add(_place(file, row.number), str(error), _kind(str(error)))
    items = _without_repeats(items, complaints)
    if not items:
        why = f"first {complaints.first[0]}" if complaints.first else f"{filtered} did not pass task.filters"
        raise DataError(f"{place}: none of {len(raw)} rows can be used, {why}")
    return ReadData(items, columns, guesses, complaints, filtered, len(raw))


def _item(file: File, row: Row, columns: Columns, verifier: str, several: bool) -> Item:
    values = row.values
    if columns.id is not None and present(values, columns.id):
        name = row.text(columns.id)
    else:
        name = f"{file.path.name.partition('.')[0]}:{row.number}" if several else str(row.number)
    row = replace(row, values={**values, "id": name})
    parts = parts_of(row, columns, verifier)
    side = file.side or _side(values, columns.split)
    return Item(_place(file, row.number), name, parts, values, side, text_key(parts.question))


def _side(values: Mapping[str, Any], column: str | None) -> Side | None:
    from rlvr.tasks.data.places import SIDES

    said = str(values.get(column)).strip().lower() if column is not None else ""
    return next((side for side, called in SIDES.items() if said in called), None)


def _without_repeats(items: Sequence[Item], complaints: Complaints) -> list[Item]:
    """Without rows whose id was given before, and all rows of one question with different answers."""
    seen: dict[str, Item] = {}
    answers: dict[str, tuple[str, Item]] = {}
    contradictory: dict[str, Item] = {}
    for item in items:
        if item.id in seen:
            what = f"id {item.id!r} was already given to {seen[item.id].place}"
            complaints.add(item.place, what, "an id given before")
            continue
        seen[item.id] = item
        said = json.dumps(item.parts.reference, sort_keys=True) if not _has_tests(item) else ""
        earlier = answers.setdefault(item.key, (said, item))
        if earlier[0] != said:
            contradictory[item.key] = earlier[1]
            other = earlier[1]
            complaints.add(
                item.place,
                f"the question of {other.place} with another answer: {_short(item)} here, "
                f"{_short(other)} there",
                CONTRADICTORY,
            )
    for item in contradictory.values():
        complaints.add(item.place, "its question has other answers below", CONTRADICTORY)
    return [item for item in seen.values() if item.key not in contradictory]


def _has_tests(item: Item) -> bool:
    return isinstance(item.parts.reference, dict) and "inputs" in item.parts.reference


def _short(item: Item) -> str:
    return f"{json.dumps(item.parts.reference):.60}"


def _place(file: File, number: int) -> str:
    return f"{file.path}, row {number}"


def _size(values: Mapping[str, Any]) -> int:
    """Characters of a row's texts."""
    return sum(len(v) if isinstance(v, str) else 0 if isinstance(v, int | float | None) else _nested(v)
               for v in values.values())  # fmt: skip


def _nested(value: Any) -> int:
    if isinstance(value, str | bytes):
        return len(value)
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return sum(map(_nested, parts))


def _kind(message: str) -> str:
    """The message without its values, to count by."""
    return message.partition(";")[0].partition(" is '")[0][:60]


def _check_filters(filters: Mapping[str, Any], there: Mapping[str, None], place: str) -> None:
    for column, wanted in filters.items():
        if column not in there:
            raise DataError(f"{place} has no column {column!r} (task.filters); it has {', '.join(there)}")
        if isinstance(wanted, Mapping) and not (wanted and wanted.keys() <= {"min", "max", "not"}):
            raise DataError(
                f"task.filters.{column} is {dict(wanted)!r}: give a value, a list of values, or min, max, not"
            )


def passes(value: Any, wanted: Any) -> bool:
    """Whether a column's value is the one wanted, one of a list, or within {min, max} and not {not}.

    Raises RowError for a value that is no number where numbers are compared.
    """
    if isinstance(wanted, Mapping):
        if "not" in wanted and passes(value, wanted["not"]):
            return False
        if "min" not in wanted and "max" not in wanted:
            return True
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise RowError(f"task.filters compares {value!r:.60}, which is no number") from None
        return wanted.get("min", number) <= number <= wanted.get("max", number)
    if isinstance(wanted, list | tuple):
        return any(passes(value, one) for one in wanted)
    return value == wanted or (value is not None and str(value) == str(wanted))
