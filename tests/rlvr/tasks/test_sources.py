"""Rows from files and the hub: where they are looked for, and that bad data is named before anything else."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from rlvr.tasks import Problem, TaskError
from rlvr.tasks.sources import BadRows, Hub, Loaded, Row, RowError, find_rows, load_problems, without_hub

HUB = Hub("someone/sums", split="test", revision="0123456789abcdef", name="main")
GOOD: list[dict[str, Any]] = [{"question": "1+1", "answer": "2"}, {"question": "2+2", "answer": 4.0}]


@pytest.fixture(autouse=True)
def no_data_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RLVR_DATA", raising=False)


def make(row: Row) -> Problem:
    return Problem(row.id, row.text("question"), row.text("answer"))


def load(source: Path | None, bad_rows: BadRows = "stop", hub: Hub | None = None) -> Loaded:
    return load_problems("sums", str(source) if source else None, hub, make, bad_rows)


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_same_problems_from_every_kind_of_file(tmp_path: Path) -> None:
    plain = write(tmp_path / "any.jsonl", GOOD)
    packed = tmp_path / "any.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    table = tmp_path / "any.parquet"
    rows = [{**row, "answer": str(int(row["answer"]))} for row in GOOD]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), table)
    expected = Loaded([Problem("0", "1+1", "2"), Problem("1", "2+2", "4")])
    assert load(plain) == load(packed) == load(table) == expected


def test_a_source_goes_before_the_environment_and_folders_are_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, environment = tmp_path / "given", tmp_path / "environment"
    for root, folder in ((given, "code"), (environment, "math")):
        (root / folder).mkdir(parents=True)
    monkeypatch.setenv("RLVR_DATA", str(environment))
    write(environment / "math" / "sums.jsonl", GOOD[:1])
    assert len(load(given).problems) == 1
    write(given / "code" / "sums.jsonl", GOOD)
    assert len(load(given).problems) == 2


@pytest.mark.parametrize(
    ("row", "identity"),
    [({"unique_id": "a/b", "id": 7}, "a/b"), ({"id": 7, "idx": 8}, "7"), ({"idx": 8}, "8"), ({}, "3")],
)
def test_the_identity_of_a_row(row: dict[str, Any], identity: str) -> None:
    assert Row(3, row).id == identity


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b'{"question": "3"}', "no column 'answer'; there are question"),
        (b'{"question": null, "answer": "3"}', "column 'question' is null"),
        (b'{"question": " ", "answer": "3"}', "column 'question' is empty"),
        (b'{"question": "3", "answer": ["3"]}', r"column 'answer' is \['3'\], not text"),
        (b'{"question": "3", "answer": true}', "column 'answer' is True"),
        (b'{"question": "3", "answer": NaN}', "column 'answer' is nan"),
        (b'{"question": "\\ud800", "answer": "3"}', "column 'question' is not valid UTF-8"),
        (b'{"question": "\xff", "answer": "3"}', "not valid UTF-8 at byte 14"),
        (b'{"question": "3", ', "not JSON"),
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1, 2]", "a JSON list where an object"),
        (b'{"id": 0, "question": "3", "answer": "3"}', "id '0' was already given"),
        (b'{"id": null, "question": "3", "answer": "3"}', "column 'id' is null"),
    ],
)
def test_a_bad_row_is_named_or_left_out_and_counted(tmp_path: Path, line: bytes, complaint: str) -> None:
    file = tmp_path / "sums.jsonl"
    good = [json.dumps(row).encode() for row in GOOD]
    file.write_bytes(b"\n".join([good[0], line, good[1]]) + b"\n")
    with pytest.raises(TaskError, match=rf"sums\.jsonl, row 1: {complaint}.*bad_rows=skip"):
        load(file)
    with pytest.warns(UserWarning, match=r"1 of 3 rows are left out by bad_rows=skip, first .*row 1"):
        loaded = load(file, "skip")
    assert ([p.reference for p in loaded.problems], loaded.skipped) == (["2", "4"], 1)


def test_invalid_utf8_in_parquet_is_a_bad_row(tmp_path: Path) -> None:
    file = tmp_path / "sums.parquet"
    broken = pyarrow.array([b"3", b"\xff"]).view(pyarrow.utf8())
    pyarrow.parquet.write_table(pyarrow.table({"question": broken, "answer": ["3", "3"]}), file)
    with pytest.raises(TaskError, match="row 1: not valid UTF-8"):
        load(file)


def test_a_set_without_a_usable_row(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"sums\.jsonl holds no problem: no rows"):
        load(write(tmp_path / "sums.jsonl", []))
    with pytest.raises(TaskError, match=r"all 2 rows are bad, first .*row 0: no column 'answer'"):
        load(write(tmp_path / "sums.jsonl", [{"question": "3"}] * 2), "skip")


@pytest.mark.parametrize("name", ["sums.jsonl.gz", "sums.parquet", "sums.csv"])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(b'{"question": "3", "answer": "3"}')[:-5])
    with pytest.raises(TaskError, match=r"cannot be read|a data file is one of \*\.jsonl"):
        load(tmp_path / name)


def test_data_that_is_nowhere(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"neither task\.source nor \$RLVR_DATA is set"):
        load(None)
    with pytest.raises(TaskError, match=r"looked for .*math/sums\.parquet"):
        load(tmp_path)
    with pytest.raises(TaskError, match="does not exist"):
        load(tmp_path / "absent.jsonl")


def test_the_hub_comes_last_at_its_pinned_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def answer(path: str, name: str | None, *, split: str, revision: str) -> list[dict[str, Any]]:
        asked.append((path, name, split, revision))
        return GOOD

    monkeypatch.setattr(datasets, "load_dataset", answer)
    assert len(load(None, hub=HUB).problems) == 2
    assert asked == [("someone/sums", "main", "test", "0123456789abcdef")]
    with without_hub(), pytest.raises(TaskError, match="no data"):
        load(None, hub=HUB)
    assert len(asked) == 1


def test_a_hub_out_of_reach_says_what_to_do() -> None:
    with pytest.raises(TaskError, match=r"cannot get the hub data set someone/sums.*task\.source=\.\.\."):
        load(None, hub=HUB)


def test_row_errors_are_task_errors_only_with_their_place() -> None:
    with pytest.raises(RowError, match=r"^column 'a' is null$"):
        Row(0, {"a": None}).value("a")


@pytest.mark.parametrize("begin", [b"", b"\xef\xbb\xbf"], ids=["", "BOM"])
@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n", b"\r\n \r\n"])
@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz"])
def test_a_mark_of_the_encoding_and_blank_lines_at_the_end_are_no_rows(
    tmp_path: Path, begin: bytes, end: bytes, suffix: str
) -> None:
    content = begin + b'{"a": 1}\n{"a": 2}' + end
    path = tmp_path / f"rows.{suffix}"
    path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    _, rows = find_rows("rows", str(tmp_path), None)
    assert [parse() for parse in rows] == [{"a": 1}, {"a": 2}]
