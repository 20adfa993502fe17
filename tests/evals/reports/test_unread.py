"""Stored samples of which most have no verdict are named before any number."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stored_files import write_measured

from evals.commands import passk
from evals.records.files import samples_file
from evals.reports.unread import unread_file


def lost(directory: Path, status: str) -> Path:
    """A measurement of one problem, three of whose four samples have this status."""
    write_measured(directory, {"a": ["1", "1", "1", "1"]}, {"a": "2"})
    file = samples_file(directory, "sums:2")
    table = pq.read_table(file)
    rows = [{**row, "status": status if row["index"] else "wrong"} for row in table.to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, table.schema), file)
    return file


def test_it_says_how_many_with_a_sample(tmp_path: Path) -> None:
    said = unread_file(lost(tmp_path, "unparsed"))
    assert said is not None and "3 of 4 samples have no verdict (3 unparsed, 0 timed out)" in said
    assert "a sample, unparsed: 'it is 1'" in said and "would parse" not in said


def test_a_file_with_verdicts_is_not_named(tmp_path: Path) -> None:
    assert unread_file(lost(tmp_path, "wrong")) is None
    assert unread_file(tmp_path / "sums-2.parquet") is None


@pytest.mark.parametrize(("strict", "status"), [("false", 0), ("true", 3)])
def test_passk_says_it_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], strict: str, status: int
) -> None:
    assert passk.main([str(lost(tmp_path, "timed_out")), f"strict={strict}"]) == status
    assert "3 of 4 samples have no verdict (0 unparsed, 3 timed out)" in capsys.readouterr().err
