"""Record files: what is damaged is named with its line, and what is whole is read."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path

import pytest

from rlvr.core.records import RecordError, read_jsonl, read_object, sums_file
from rlvr.core.run_dir import append_jsonl, keep_jsonl, write_jsonl, write_record

ROWS = [{"step": i, "value": i / 4} for i in range(1, 6)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    for row in ROWS:
        append_jsonl(tmp_path / "metrics.jsonl", row)
    return tmp_path / "metrics.jsonl"


def lines(file: Path) -> list[bytes]:
    return file.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"\n", r"line 3: is empty\. Nothing was changed, lines 1 to 2 and 4 to 5 were kept"),
        (b"Killed\n", "line 3: is not JSON"),
        (b'{"step": 3, "value"\n', "line 3: is not JSON"),
        (b"\xff\xfe\n", r"line 3: is not UTF-8 \(invalid start byte at byte 1\)"),
        (b"null\n", "line 3: is null, not an object"),
        (b"[1]\n", "line 3: is a list, not an object"),
        (b'"step"\n', "line 3: is a text"),
        (b"3\n", "line 3: is a number"),
        (b"true\n", "line 3: is true or false"),
        (b'{"value": 1}\n', "line 3: has no step"),
        (b'{"step": "3"}\n', "line 3: its step is '3', not a whole number"),
        (b'{"step": true}\n', "line 3: its step is True"),
        (b'{"step": -1}\n', "line 3: its step is -1"),
        (b"[" * 5000 + b"\n", "line 3: is not JSON"),
        (b'{"step": 2, "value": 9}\n', r"line 3: step 2 stands in line 2 too, with other values"),
    ],
)
def test_a_damaged_line_is_named(file: Path, line: bytes, said: str) -> None:
    before = lines(file)
    file.write_bytes(b"".join([*before[:2], line, *before[3:]]))
    sums_file(file).unlink()
    damaged = file.read_bytes()
    for read in (
        lambda: read_jsonl(file, "step", once=["step"]),
        lambda: keep_jsonl(file, bool, "step", once=["step"]),
    ):
        with pytest.raises(RecordError, match=said) as error:
            read()
        assert str(file) in str(error.value) and file.read_bytes() == damaged


def test_a_line_that_a_crash_cut_is_left_out_and_appending_goes_on_before_it(file: Path) -> None:
    with open(file, "ab") as torn:
        torn.write(b'{"step": 6, "val')
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_jsonl(file, "step") == ROWS
        append_jsonl(file, {"step": 6})
        assert read_jsonl(file, "step") == [*ROWS, {"step": 6}]


def test_a_last_line_without_its_end_is_whole(file: Path) -> None:
    file.write_text('{"step": 1}\n{"step": 2}')
    sums_file(file).unlink()
    append_jsonl(file, {"step": 3})
    assert [row["step"] for row in read_jsonl(file)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("change", "said", "rows"),
    [
        (lambda ls: [ls[0].replace(b"0.25", b"0.75"), *ls[1:]], "line 1: is not what was written", None),
        (lambda ls: [*ls[:2], *ls[3:]], "line 3: is not what was written, nor are 1 more", 4),
        (lambda ls: ls[:3], r"2 line\(s\) at its end are gone", 3),
        (lambda ls: [*ls[:3], ls[2], *ls[3:]], "line 4: the same as line 3, left out", 5),
        (lambda ls: [ls[1], ls[0], *ls[2:]], "line 1: is not what was written", 5),
        (lambda ls: [], "what was written is gone", 0),
    ],
)
def test_what_was_not_written_so_is_named_and_read(file: Path, change, said: str, rows: int | None) -> None:  # type: ignore[no-untyped-def]
    file.write_bytes(b"".join(change(lines(file))))
    with pytest.warns(UserWarning, match=said):
        found = read_jsonl(file, once=["step"])
    assert len(found) == (5 if rows is None else rows)


def test_a_changed_line_stays_known_when_the_file_is_written_anew(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"0.5", b"0.7"))
    with pytest.warns(UserWarning, match="line 2"):
        keep_jsonl(file, lambda row: row["step"] != 1, "step")
    with pytest.warns(UserWarning, match="line 1: is not what was written"):
        assert [row["step"] for row in read_jsonl(file)] == [2, 3, 4, 5]


def test_whole_files_are_read_without_a_word(file: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_jsonl(file, "step", once=["step"]) == ROWS
        keep_jsonl(file, lambda row: row["step"] > 2, "step")
        append_jsonl(file, {"step": 6, "value": float("inf")})
        assert [row["step"] for row in read_jsonl(file)] == [3, 4, 5, 6]
        write_jsonl(file, ROWS)
        assert read_jsonl(file) == ROWS
        assert read_jsonl(tmp_path / "none.jsonl") == []
        sums_file(file).unlink()  # as of an older version
        append_jsonl(file, {"step": 6})
        assert read_jsonl(file) == [*ROWS, {"step": 6}]
        file.unlink()
        sums_file(file).unlink(missing_ok=True)
        append_jsonl(file, {"step": 1})
        assert read_jsonl(file) == [{"step": 1}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"), (b"null", "is null, not"), (b"[]", "is a list"), (b'{"a"', "is not JSON"),
        (b"\xff", "is not UTF-8"), (b"{}", "has no steps"),
    ],
)  # fmt: skip
def test_a_damaged_object_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    write_record(tmp_path / ".finished", {"steps": 4})
    assert read_object(tmp_path / ".finished", "steps") == {"steps": 4}
    (tmp_path / ".finished").write_bytes(content)
    with pytest.raises(RecordError, match=rf"\.finished is not whole: {said}.*: remove it"):
        read_object(tmp_path / ".finished", "steps", remedy="remove it")


def test_an_object_that_says_something_else_is_named(tmp_path: Path) -> None:
    write_record(tmp_path / "a.json", {"steps": 4})
    (tmp_path / "a.json").write_text(json.dumps({"steps": 5}))
    with pytest.warns(UserWarning, match=r"a\.json: is not what was written"):
        assert read_object(tmp_path / "a.json") == {"steps": 5}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_not_damage(file: Path) -> None:
    file.chmod(0)
    with pytest.raises(RecordError, match=r"cannot be read: .*Nothing was changed"):
        read_jsonl(file)
