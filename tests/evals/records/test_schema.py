"""Files of another version are read, or refused with the reason."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stored_files import CONDITIONS, ORIGIN

from evals.records.files import METADATA, FileError, read_about
from evals.records.gap_record import GapRecord, read_records

ROW = {field.name: 0 for field in fields(GapRecord)}


def write(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_an_unknown_field_of_a_record_is_left_out(tmp_path: Path) -> None:
    (record,) = read_records(write(tmp_path / "probe.jsonl", {**ROW, "length": 3.5, "schema": 1}))
    assert record == GapRecord(**ROW)


def test_a_record_from_before_schemas_is_read(tmp_path: Path) -> None:
    row = {name: value for name, value in ROW.items() if name != "base_stop_r"}
    assert read_records(write(tmp_path / "probe.jsonl", row))[0].base_stop_r is None


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({**ROW, "step": 1, "schema": 2}, "line 2: written by a newer version of rlvr, with schema 2"),
        ({name: 1 for name in ROW if name != "gap"}, "line 2: has no gap"),
    ],
)
def test_a_record_that_cannot_be_read_is_named(tmp_path: Path, row: dict[str, object], said: str) -> None:
    with pytest.raises(FileError, match=said):
        read_records(write(tmp_path / "probe.jsonl", ROW, row))


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"schema": 9}, "with schema 9"), ({"conditions": {"penalty": 1.1}}, "with the fields penalty")],
)
def test_conditions_that_this_version_cannot_hold_to_are_refused(
    tmp_path: Path, changed: dict[str, object], said: str
) -> None:
    about: dict[str, object] = {"schema": 1, "conditions": vars(CONDITIONS), "origin": vars(ORIGIN)}
    for key, value in changed.items():
        about[key] = {**about[key], **value} if isinstance(value, dict) else value  # type: ignore[dict-item]
    schema = pa.schema([("problem", pa.string())], {METADATA: json.dumps(about).encode()})
    pq.write_table(schema.empty_table(), tmp_path / "a.parquet")
    with pytest.raises(FileError, match=said):
        read_about(tmp_path / "a.parquet")
