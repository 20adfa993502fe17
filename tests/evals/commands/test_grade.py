"""`python -m evals grade`: verdicts of stored completions, and input that cannot be graded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evals.commands import grade
from rlvr.models.tiny_base import byte_tokenizer


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a data set of two problems."""
    rows = [
        {"id": 7, "problem": "1+1", "answer": 2.0},
        {"id": 8, "problem": "root of 8", "answer": r"2\sqrt{2}"},
    ]
    write(tmp_path / "amc23.jsonl", rows)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


ARGUMENTS = ["task=amc23", "task.source=.", "task.template=qwen_boxed", "samples=in.jsonl", "out=out.jsonl"]


def test_it_adds_verdicts_and_keeps_the_rest(folder: Path) -> None:
    samples = [
        {"id": "8", "completion": r"\boxed{\sqrt{8}}", "index": 3},
        {"id": 7, "completion": r"\boxed{2.0001}"},
        {"id": 7, "completion": "two"},
        {"id": 8, "completion": r"\boxed{2^{2^{40}}}"},
    ]
    write(folder / "in.jsonl", samples)
    command = [sys.executable, "-m", "evals", "grade", *ARGUMENTS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "amc23, math-strict-3: 4 samples: 1 correct, 1 wrong, 1 unparsed, 1 timed_out\n"
    graded = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    assert [row["verdict"] for row in graded] == ["correct", "wrong", "unparsed", "timed_out"]
    assert [row["extracted"] for row in graded] == [r"\sqrt{8}", "2.0001", None, "2^{2^{40}}"]
    for row, sample in zip(graded, samples, strict=True):
        assert row.pop("seconds") > 0
        assert {key: row[key] for key in sample} == sample and row.keys() - sample.keys() == {
            "verdict",
            "extracted",
        }


def test_another_grader_says_otherwise_of_the_same_samples(folder: Path) -> None:
    write(folder / "in.jsonl", [{"id": 7, "completion": r"\boxed{2.0001}"}])
    assert grade.main([*ARGUMENTS, "task.grader=lenient"]) == 0
    assert json.loads((folder / "out.jsonl").read_text())["verdict"] == "correct"


@pytest.mark.parametrize(("strict", "status"), [([], 0), (["strict=true"], 3)])
def test_boxed_answers_under_a_tag_template_are_no_silent_zeros(
    folder: Path, capsys: pytest.CaptureFixture[str], strict: list[str], status: int
) -> None:
    write(folder / "in.jsonl", [{"id": 7, "completion": r"so \boxed{2}"}] * 5)
    tags = [a for a in ARGUMENTS if "template" not in a]
    assert grade.main([*tags, *strict]) == status
    said = capsys.readouterr()
    assert "5 of 5 samples have no verdict (5 unparsed, 0 timed out)" in said.err
    assert "template qwen_boxed would parse 5 of 5: give task.template=qwen_boxed" in said.err
    assert said.out == "amc23, math-strict-3: 5 samples: 0 correct, 0 wrong, 5 unparsed, 0 timed_out\n"
    assert grade.main([*ARGUMENTS, *strict]) == 0
    assert "no verdict" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b'{"id": 9, "completion": "2"}', "the task has no problem 9 in this split"),
        (b'{"id": 7}', 'not an object with "id" and "completion"'),
        (b"[7]", "not an object"),
        (b'{"id": 7, "completion": null}', '"completion" is None, not a text'),
        (b'{"id": 7, "completion": "\xff"}', "not a JSON object in UTF-8"),
        (b"{", "not a JSON object"),
        (b"", "not a JSON object"),
    ],
)
def test_a_line_that_cannot_be_graded(
    folder: Path, capsys: pytest.CaptureFixture[str], line: bytes, complaint: str
) -> None:
    (folder / "in.jsonl").write_bytes(b'{"id": 7, "completion": "2"}\n' + line + b"\n")
    assert grade.main(ARGUMENTS) == 2
    error = capsys.readouterr().err
    assert "in.jsonl, line 2: " in error and complaint in error
    assert not (folder / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "task\n      is missing"),
        (["task=amc", *ARGUMENTS[1:]], "did you mean amc23?"),
        ([*ARGUMENTS, "task.grader=kind"], "task.grader = 'kind'"),
        ([*ARGUMENTS, "sample=x"], "unknown key; did you mean samples?"),
        ([*ARGUMENTS, "out=absent/out.jsonl"], "there is no directory absent"),
        ([*ARGUMENTS, "samples=absent.jsonl"], "samples absent.jsonl cannot be read: No such file"),
        ([*ARGUMENTS, "samples=/dev/null"], "/dev/null is empty"),
    ],
)
def test_wrong_arguments(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    write(folder / "in.jsonl", [{"id": 7, "completion": "2"}])
    assert grade.main(arguments) == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status"), [([], 2), (["grad"], 2), (["--help"], 0), (["grade", "--help"], 0)]
)
def test_the_command_line(arguments: list[str], status: int) -> None:
    done = subprocess.run([sys.executable, "-m", "evals", *arguments], capture_output=True, text=True)
    assert done.returncode == status
    assert "grade" in (done.stderr if status else done.stdout)


def test_a_chat_template_that_opens_a_thought(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What stands in the thought alone is no answer; without the tokenizer nobody knows that one is open."""
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: <think>\n{% endif %}"
    )
    tokenizer.save_pretrained(folder / "model")
    texts = [r"\boxed{2} </think> so \boxed{3}", r"\boxed{3} </think> so \boxed{2}", r"\boxed{2}"]
    write(folder / "in.jsonl", [{"id": 7, "completion": text} for text in texts])
    task = [a for a in ARGUMENTS if "template" not in a] + ["task.template=chat"]
    assert grade.main([*task, "tokenizer=model"]) == 0
    graded = [json.loads(line)["verdict"] for line in (folder / "out.jsonl").read_text().splitlines()]
    assert graded == ["wrong", "correct", "unparsed"]
    assert grade.main(task) == 2
    assert "task.template=chat needs it" in capsys.readouterr().err
