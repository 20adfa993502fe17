"""Completions of which most have no verdict: said, with a cause only where a verifier proves it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlvr.graders import Status
from rlvr.tasks import Task, build_task
from rlvr.tasks.unread import Graded, causes, shortened, warning


@pytest.fixture
def task(tmp_path: Path) -> Task:
    (tmp_path / "amc23.jsonl").write_text(json.dumps({"id": 7, "problem": "1+1", "answer": 2.0}) + "\n")
    return build_task("amc23", source=str(tmp_path))


def unparsed(*texts: str, cut: bool = False) -> list[Graded]:
    return [Graded(text, "2", Status.UNPARSED, cut) for text in texts]


def test_the_template_that_would_read_them_is_named(task: Task) -> None:
    found = warning(task, 3, 3, 0, unparsed(r"so \boxed{2}", r"\boxed{3}", "nothing"))
    assert found is not None
    first, cause, sample = found.splitlines()
    assert first.startswith("WARNING: amc23: 3 of 3 samples have no verdict (3 unparsed, 0 timed out)")
    assert "template qwen_boxed would parse 2 of 3: give task.template=qwen_boxed" in cause
    assert "(now r1_zero)" in cause and sample == r"  a sample, unparsed: 'so \\boxed{2}'"


def test_the_other_way_round(tmp_path: Path, task: Task) -> None:
    boxed = build_task("amc23", source=str(tmp_path), template="qwen_boxed")
    (cause,) = causes(boxed, unparsed("<answer>2</answer>", "<answer>3</answer>"))
    assert cause.startswith("template r1_zero would parse 2 of 2")


def test_what_no_template_reads_has_no_cause_of_that_kind(task: Task) -> None:
    assert causes(task, unparsed("I do not know", "nor do I")) == []
    assert causes(task, unparsed("", "  ")) == ["2 of 2 are empty"]
    assert causes(task, unparsed("let us", "see", cut=True)) == [
        "2 of 2 were cut at the token limit, before an answer"
    ]


def test_a_task_with_one_template_is_tried_with_no_other() -> None:
    countdown = build_task("countdown:3")
    assert causes(countdown, unparsed(r"\boxed{2}")) == []


def test_half_is_not_most(task: Task) -> None:
    assert warning(task, 4, 2, 0, unparsed("a", "b")) is None
    assert warning(task, 4, 1, 2, []) is not None
    assert warning(task, 0, 0, 0, []) is None


def test_timed_out_samples_are_told_apart(task: Task) -> None:
    some = [Graded("2^2^2", "2", Status.TIMED_OUT)] * 3
    found = warning(task, 3, 0, 3, some)
    assert (
        found is not None and "ran out of time on 3 of 3" in found and "a sample, timed_out: '2^2^2'" in found
    )


def test_a_long_sample_shows_both_ends() -> None:
    found = shortened("a" * 500 + "b" * 500)
    assert found.startswith("'aaa") and found.endswith("bbb'") and "680 characters" in found
