"""Data of the user's own: every kind of file, and every kind of bad row named by file, row and column."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from rlvr.tasks import Task, TaskError, build_task
from rlvr.tasks.data.task import remade

ROWS: list[dict[str, Any]] = [{"question": f"{i} + 1?", "answer": str(i + 1)} for i in range(40)]


def lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def cells(rows: list[dict[str, Any]], by: str = ",") -> bytes:
    head = by.join(rows[0])
    return "\r\n".join([head, *(by.join(f'"{v}"' for v in row.values()) for row in rows)]).encode() + b"\r\n"


def of(path: Path | str, **options: Any) -> Task:
    return build_task("data", path=str(path), **{"template": "plain"} | options)


def written(place: Path, name: str, content: bytes) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return place / name


BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", lines(ROWS)),
        ("a.jsonl", BOM + lines(ROWS) + b"\n\n"),
        ("a.jsonl.gz", lines(ROWS)),
        ("a.json", json.dumps(ROWS).encode()),
        ("a.json", BOM + json.dumps({"rows": ROWS}).encode()),
        ("a.json", lines(ROWS)),
        ("a.json.gz", json.dumps(ROWS).encode()),
        ("a.csv", cells(ROWS)),
        ("a.csv", BOM + cells(ROWS)),
        ("a.csv", cells(ROWS, ";")),
        ("a.csv.gz", cells(ROWS)),
        ("a.tsv", cells(ROWS, "\t")),
    ],
)
def test_the_same_problems_from_every_kind_of_file(tmp_path: Path, name: str, content: bytes) -> None:
    task = of(written(tmp_path, name, content))
    problems = sorted([*task.train, *task.test], key=lambda p: int(p.id))
    assert [(p.prompt, p.reference) for p in problems] == [(f"{i} + 1?\n", str(i + 1)) for i in range(40)]
    assert problems[3].columns == ROWS[3] and problems[3].question == "3 + 1?"
    assert "problem = question, answer = answer" in task.notes[0]


def test_parquet_and_a_directory_split_by_its_files(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "train-00000-of-00001.parquet")
    written(tmp_path / "more", "test.jsonl", lines([{"question": "9 x 9?", "answer": 81}]))
    written(tmp_path, "dataset_infos.json", b"{}")
    written(tmp_path, "README.md", b"")
    task = of(tmp_path)
    assert (len(task.train), len(task.test)) == (40, 1) and task.test[0].reference == "81"
    assert task.test[0].id == "test:0" and "2 files" in " ".join(task.notes)


BAD: list[tuple[str, bytes, str, int]] = [
    ("a.jsonl", lines([*ROWS, {"question": "x"}]), "a.jsonl, row 40: no column 'answer'", 40),
    ("a.jsonl", lines([*ROWS, {"question": "x", "answer": ""}]), "row 40: column 'answer' is empty", 40),
    ("a.jsonl", lines([*ROWS, {"question": " ", "answer": 1}]), "row 40: column 'question' is empty", 40),
    ("a.jsonl", lines([*ROWS, {"question": "x", "answer": None}]), "row 40: column 'answer' is null", 40),
    ("a.jsonl", lines([*ROWS, {"question": "x", "answer": [1]}]), "column 'answer' is a list", 40),
    ("a.jsonl", lines([*ROWS, {"question": "x" * 5_000_000, "answer": 1}]), "row 40: 5,000,000 char", 40),
    ("a.jsonl", lines(ROWS) + b'{"question": "x", "answer": NaN}\n', "column 'answer' is nan", 40),
    ("a.jsonl", lines(ROWS) + b'{"question": "caf\xe9", "answer": 1}\n', "not valid UTF-8 at byte 17", 40),
    ("a.jsonl", lines(ROWS) + b'{"question": \n', "row 40: not JSON", 40),
    ("a.jsonl", lines([*ROWS, 7]), "row 40: a JSON int where an object", 40),
    ("a.jsonl", lines([*ROWS, {"question": "0  + 1?", "answer": 5}]), "row 40: the question of", 39),
    ("a.jsonl", lines([{**r, "id": i % 39} for i, r in enumerate(ROWS)]), "row 39: id '0' was already", 39),
    ("a.csv", cells(ROWS) + b'"a, b",nan\r\n', "row 40: column 'answer' is null", 40),
    ("a.csv", cells(ROWS) + b"a,\r\n", "row 40: column 'answer' is empty", 40),
    ("a.csv", cells(ROWS) + b"a,1,2\r\n", "row 40: line 42 has 3 cells, the header 2", 40),
    ("a.csv", cells(ROWS) + b"caf\xe9,1\r\n", "column 'question' (line 42) is not valid UTF-8", 40),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "said", "left"), BAD, ids=[said for _, _, said, _ in BAD])
def test_a_bad_row_stops_or_is_counted(
    tmp_path: Path, name: str, content: bytes, said: str, left: int
) -> None:
    file = written(tmp_path, name, content)
    with pytest.raises(TaskError) as caught:
        of(file)
    assert said in str(caught.value) and str(file) in str(caught.value) and caught.value.status == 2
    task = of(file, bad_rows="skip")
    assert len(task.train) + len(task.test) == left
    assert task.skipped == (2 if "the question of" in said else 1)
    assert said in " ".join(task.notes) or "its question" in " ".join(task.notes)


UNREADABLE: list[tuple[str, bytes, str]] = [
    ("a.csv", cells(ROWS) + b'"never closed,1\r\nx,2\r\n', "cannot be read to its end"),
    ("a.csv", cells(ROWS).decode().encode("utf-16"), "is UTF-16: save it as UTF-8"),
    ("a.csv", b"question,answer,answer\r\na,1,2\r\n", "'answer' stands in the header twice"),
    ("a.csv", b"question,answer\r\n\0,1\r\n", "NUL bytes"),
    ("a.csv", b"", "holds no rows"),
    ("a.json", b'{"question": {"0": "a"}, "answer": {"0": 1}}', "orient='records'"),
    ("a.json", b"[", "is not JSON"),
    ("a.jsonl", b"\n", "holds no rows"),
    ("a.parquet", b"PAR1", "cannot be read"),
    ("a.txt", b"x", "a data file is one of"),
]


@pytest.mark.parametrize(("name", "content", "said"), UNREADABLE, ids=[said for _, _, said in UNREADABLE])
def test_what_cannot_be_read_to_its_end_is_an_error_even_if_bad_rows_are_skipped(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    file = written(tmp_path, name, content)
    with pytest.raises(TaskError) as caught:
        of(file, bad_rows="skip")
    assert said in str(caught.value) and "a." in str(caught.value)


def test_a_packed_file_that_was_cut_is_an_error(tmp_path: Path) -> None:
    packed = gzip.compress(cells(ROWS))
    (tmp_path / "a.csv.gz").write_bytes(packed[:-20])
    with pytest.raises(TaskError, match=r"a\.csv\.gz cannot be read"):
        of(tmp_path / "a.csv.gz", bad_rows="skip")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"columns": {"answer": "anser"}}, r"no column 'anser' \(task.columns.answer\); did you mean answer"),
        ({"columns": {"image": "question"}}, "task.columns.image is reserved"),
        ({"verifier": "choice"}, "no column named like the choices; it has question, answer: give"),
        ({"verifier": "maths"}, "did you mean math"),
        ({"verifier": "nowhere:f"}, "the module nowhere cannot be imported"),
        ({"filters": {"level": 3}}, r"no column 'level' \(task.filters\)"),
        ({"filters": {"answer": {"least": 3}}}, "give a value, a list of values, or min, max, not"),
        ({"filters": {"answer": {"min": 300}}}, "40 did not pass task.filters"),
        ({"split_by": "given"}, "neither file names nor a split column"),
        ({"few_shot": 60}, "needs 61 training rows"),
        ({"system": "Be brief."}, "task.system is for task.template=chat"),
        ({"template": "nowhere.txt"}, "no such file; or give one of r1_zero"),
    ],
)  # fmt: skip
def test_keys_that_do_not_fit_the_data(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(Exception, match=said) as caught:
        of(written(tmp_path, "a.jsonl", lines(ROWS)), **options)
    assert caught.value.status == 2  # type: ignore[attr-defined]


def test_a_place_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    for path, options, said in (
        (tmp_path / "none.csv", {}, "does not exist"),
        (tmp_path, {}, "holds no data file"),
        ("someone/sums", {}, "give task.revision=COMMIT"),
        ("someone/sums", {"revision": "abc"}, "HF_HUB_OFFLINE is set. Fetch it where the hub can be reached"),
    ):
        with pytest.raises(TaskError, match=said):
            of(path, **options)


def test_filters_and_max_rows(tmp_path: Path) -> None:
    rows = [{**row, "level": i % 5, "kind": "ab"[i % 2]} for i, row in enumerate(ROWS)]
    file = written(tmp_path, "a.jsonl", lines(rows))
    options = {
        "columns": {"answer": "answer"},
        "filters": {"level": {"min": 2, "not": 3}, "kind": ["a", "c"]},
    }
    made = remade({"path": str(file), **options})
    assert {int(item.id) for item in (*made.train, *made.test)} == {
        i for i in range(40) if i % 5 in (2, 4) and i % 2 == 0
    }
    assert made.read.filtered == 32
    few = of(file, max_rows=5, split_by="train", **options)
    assert [p.id for p in few.train] == ["2", "4", "12", "14", "22"] and not few.test


def test_files_that_changed_are_read_again(tmp_path: Path) -> None:
    file = written(tmp_path, "a.jsonl", lines(ROWS))
    first = of(file)
    assert of(file).train is first.train
    written(tmp_path, "a.jsonl", lines([*ROWS, {"question": "new?", "answer": 1}]))
    again = of(file)
    assert len(again.train) + len(again.test) == 41
