"""LiveCodeBench from small files in its own format: both kinds of problem, packed tests, the date window."""

from __future__ import annotations

import base64
import json
import os
import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest

from rlvr.graders import Status
from rlvr.tasks import TaskError, build_task
from rlvr.tasks.streams import problem_stream

HEADER = "class Solution:\n    def ordered(self, items: List[int], s: str) -> List[int]:\n        "


def packed(content: Any) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(content))).decode()


def row(name: str, released: str = "2024-05-01T00:00:00", **changes: Any) -> dict[str, Any]:
    hidden = [{"input": f"{n}\n1 2 {n}\n", "output": f"{n + 3}", "testtype": "stdin"} for n in (3, 40)]
    return {
        "question_title": name, "question_content": "Add the numbers of the second line.",
        "platform": "atcoder", "question_id": name, "contest_id": "c", "contest_date": released,
        "starter_code": "", "difficulty": "easy", "metadata": "{}",
        "public_test_cases": json.dumps([{"input": "3\n1 2 3\n", "output": "6\n", "testtype": "stdin"}]),
        "private_test_cases": packed(json.dumps(hidden)),
    } | changes  # fmt: skip


def method_row() -> dict[str, Any]:
    tests = [{"input": '[3, 1, 2]\n"ab"', "output": "[1, 2, 3]", "testtype": "functional"}]
    return row(
        "method",
        starter_code=HEADER,
        metadata=json.dumps({"func_name": "ordered"}),
        public_test_cases=json.dumps(tests),
        private_test_cases=json.dumps([{"input": '[]\n""', "output": "[]", "testtype": "functional"}]),
    )


def write(path: Path, *rows: dict[str, Any]) -> None:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("input()\nprint(sum(map(int, input().split())))", Status.CORRECT),
        ("import sys\nprint(sum(map(int, sys.stdin.read().split()[1:])))\nexit()", Status.CORRECT),
        ("if __name__ == '__main__':\n    print(sum(map(int, open(0).read().split()[1:])))", Status.CORRECT),
        (
            "import os\nd = os.read(0, 100).split()\nos.write(1, b'%d.0' % sum(map(int, d[1:])))",
            Status.CORRECT,
        ),
        ("input()\nprint(6)", Status.WRONG),
        ("input()\nprint(sum(map(int, input().split())))\nraise SystemExit(1)", Status.WRONG),
        ("while True: pass", Status.TIMED_OUT),
    ],
)
def test_programs_that_read_and_print(tmp_path: Path, program: str, status: Status) -> None:
    write(tmp_path / "test.jsonl", row("sum"))
    task = build_task("livecodebench", source=str(tmp_path), test_seconds=1.0, problem_seconds=2.0)
    (problem,) = task.test
    assert "standard input" in problem.prompt and len(problem.reference["inputs"]) == 3
    verdict = task.verifier(f"```python\n{program}\n```", problem.reference)
    assert verdict.status is status
    task.verifier.pool.close()


def test_methods(tmp_path: Path) -> None:
    write(tmp_path / "test.jsonl", method_row())
    task = build_task("livecodebench", source=str(tmp_path))
    (problem,) = task.test
    assert "def ordered" in problem.prompt
    for body, right in (
        ("return sorted(items)", True),
        ("return tuple(sorted(items))", True),
        ("return items", False),
    ):
        assert task.verifier(f"```python\n{HEADER}{body}\n```", problem.reference).correct is right
    task.verifier.pool.close()


def test_integers_longer_than_python_reads_by_itself(tmp_path: Path) -> None:
    test = {"input": "[" + "7" * 5000 + "]", "output": "7" * 4999 + "8"}
    tests = {"public_test_cases": json.dumps([test]), "private_test_cases": "[]"}
    write(tmp_path / "test.jsonl", method_row() | tests)
    (problem,) = (task := build_task("livecodebench", source=str(tmp_path))).test
    for added, right in ((1, True), (2, False)):
        program = f"class Solution:\n    def ordered(self, items): return int(str(items[0])) + {added}"
        assert task.verifier(f"```python\n{program}\n```", problem.reference).correct is right
    task.verifier.pool.close()


def test_the_window_of_dates_and_several_files(tmp_path: Path) -> None:
    broken = row("old", "2023-01-01T00:00:00", private_test_cases="not needed")
    write(tmp_path / "test.jsonl", broken, row("a", "2024-01-31T12:00:00"), row("b", "2024-02-01T00:00:00"))
    write(tmp_path / "test2.jsonl", row("c", "2024-03-01T00:00:00"))

    def ids(**options: Any) -> list[str]:
        return [p.id for p in build_task("livecodebench", source=str(tmp_path), **options).test]

    both = {"files": ["test.jsonl", "test2.jsonl"]}
    assert ids(start="2024-01-31", end="2024-02-01") == ["a", "b"]
    assert ids(start="2024-02-01", **both) == ["b", "c"]
    with pytest.raises(TaskError, match="no problem was released from 2025-01-01"):
        ids(start="2025-01-01")
    write(tmp_path / "test2.jsonl", row("a"))
    with pytest.raises(TaskError, match="'a' is in more than one"):
        ids(start="2024-01-01", **both)


def test_earlier_contests_are_to_train_on(tmp_path: Path) -> None:
    """So that a curriculum can go from mathematics to code."""
    days = {"a": "2023-06-01", "b": "2024-01-31", "c": "2024-02-01", "d": "2024-05-01", "e": "2024-09-01"}
    rows = [row(n, f"{day}T00:00:00", question_content=f"{n}?") for n, day in days.items()]
    write(tmp_path / "test.jsonl", *rows)
    window = {"train_before": "2024-02-01", "start": "2024-03-01", "end": "2024-06-01"}
    task = build_task("livecodebench", source=str(tmp_path), **window)
    assert ([p.id for p in task.train], [p.id for p in task.test]) == (["a", "b"], ["d"])
    mixed = build_task("mixture", tasks=[{"name": "livecodebench", "source": str(tmp_path), **window}])
    _, problem = problem_stream(mixed, seed=0).take(1)[0]
    program = "```python\ninput()\nprint(sum(map(int, input().split())))\n```"
    verdicts = mixed.verifier.grade([(program, problem.reference), ("", problem.reference)])
    assert [verdict.status for verdict in verdicts] == [Status.CORRECT, Status.UNPARSED]
    write(tmp_path / "test.jsonl", *rows, row("again", "2024-04-01T00:00:00", question_content="a?"))
    with pytest.raises(TaskError, match="1 questions stand before and after"):
        build_task("livecodebench", source=str(tmp_path), **window)


class Call:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("made-by-the-pickle",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"private_test_cases": packed(Call())}, r"cannot be unpacked: it asks for \w+\.mkdir"),
        ({"private_test_cases": packed({"a": 1})}, "holds a pickled dict"),
        ({"private_test_cases": packed("[")}, "is not JSON"),
        ({"private_test_cases": packed(json.dumps([{"input": "1"}]))}, "without the texts input and output"),
        ({"private_test_cases": packed("[]")[:-8]}, "cut short|cannot be unpacked"),
        ({"private_test_cases": "%%%"}, "cannot be unpacked"),
        ({"private_test_cases": None}, "'private_test_cases' is null"),
        ({"contest_date": "May"}, "'May', not a date"),
        ({"starter_code": "class Solution: ...", "metadata": "{}"}, "no func_name"),
        ({"public_test_cases": "[]", "private_test_cases": "[]"}, "there are no tests"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write(tmp_path / "test.jsonl", row("good"), row("bad", **changes))
    with pytest.raises(TaskError, match=f"row 1: .*({message})"):
        build_task("livecodebench", source=str(tmp_path))
    assert build_task("livecodebench", source=str(tmp_path), bad_rows="skip").skipped == 1
    assert not Path("made-by-the-pickle").exists()


def test_without_file_or_hub_the_error_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"cannot get test\.jsonl.*task\.source=DIR"):
        build_task("livecodebench")
    with pytest.raises(TaskError, match="does not exist"):
        build_task("livecodebench", source=str(tmp_path))
