"""The math tasks on the real files, and the exact verifier."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from rlvr.tasks import TaskError, build_task
from rlvr.verifiers import Status
from rlvr.verifiers.math_exact import extract, math_exact


def test_omni_math_rule_is_split_by_seed_and_equal_texts_stay_together(data: Path) -> None:
    task = build_task("omni_math_rule", source=str(data))
    assert (len(task.train), len(task.test)) == (2000, 821)
    assert not {p.prompt for p in task.train} & {p.prompt for p in task.test}
    assert len({p.id for p in (*task.train, *task.test)}) == 2821
    again = build_task("omni_math_rule", source=str(data))
    assert again.data_hash() == task.data_hash()
    assert build_task("omni_math_rule", source=str(data), split_seed=1).data_hash() != task.data_hash()


def test_math500_is_found_through_the_environment(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLVR_DATA", str(data))
    task = build_task("math500", template="r1_zero")
    assert (len(task.train), len(task.test)) == (0, 500)
    prompt = task.test[0].prompt
    assert prompt.startswith("A conversation between User and Assistant.") and prompt.endswith("Assistant:")


@pytest.mark.parametrize("name", ["omni_math_rule", "math500"])
def test_every_reference_grades_itself_correct_and_its_neighbours_wrong(data: Path, name: str) -> None:
    task = build_task(name, source=str(data))
    problems = [*task.train, *task.test]
    own = [math_exact(f"<answer>{p.reference}</answer>", p.reference) for p in problems]
    assert all(verdict.correct for verdict in own)
    shifted = pairwise(problems)
    different = [(a, b) for a, b in shifted if a.reference != b.reference]
    right = sum(math_exact(f"<answer>{a.reference}</answer>", b.reference).correct for a, b in different)
    assert right / len(different) < 0.01


def test_missing_and_broken_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RLVR_DATA", raising=False)
    with pytest.raises(TaskError, match=r"no file math500\.jsonl.*task\.source"):
        build_task("math500", source=str(tmp_path))
    file = tmp_path / "math500.jsonl"
    file.write_text("")
    with pytest.raises(TaskError, match="is empty"):
        build_task("math500", source=str(tmp_path))
    file.write_text(json.dumps({"problem": "1+1"}))
    with pytest.raises(TaskError, match="row 0: no column 'answer'"):
        build_task("math500", source=str(tmp_path))


@pytest.mark.parametrize(
    ("completion", "reference", "status"),
    [
        (r"so \boxed{\frac{1}{2}}", "0.5", Status.CORRECT),
        (r"<answer>\dfrac12</answer>", "1/2", Status.CORRECT),
        ("<answer>1,234</answer>", "1234", Status.CORRECT),
        (r"<answer> $\left( 3, \frac{\pi}{2} \right)$. </answer>", r"(3,\frac{\pi}{2})", Status.CORRECT),
        (r"<answer>\boxed{7}</answer> and \boxed{8}", "7", Status.CORRECT),
        ("<answer>7</answer> or <answer>8</answer>", "7", Status.WRONG),
        (r"\boxed{1/0}", "7", Status.WRONG),
        (r"\boxed{\sqrt{8}}", r"2\sqrt{2}", Status.WRONG),
        (r"\boxed{" + "9" * 30 + "}", "9" * 30 + ".0", Status.CORRECT),
        (r"\boxed{" + "9" * 3000 + "}", "7", Status.UNPARSED),
        (r"\boxed{7", "7", Status.UNPARSED),
        ("the answer is 7", "7", Status.UNPARSED),
        ("<answer></answer>", "7", Status.UNPARSED),
    ],
)
def test_exact_verdicts(completion: str, reference: str, status: Status) -> None:
    assert math_exact(completion, reference).status is status


def test_extraction_takes_the_last_box_with_its_nested_braces() -> None:
    assert extract(r"\boxed{1} then \boxed{\frac{a}{\sqrt{b}}}") == r"\frac{a}{\sqrt{b}}"
