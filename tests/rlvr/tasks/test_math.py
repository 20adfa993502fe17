"""The math tasks: their rows on the real files, their splits, and what is wrong with data, said early."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rlvr.graders import Status
from rlvr.tasks import TaskError, build_task
from rlvr.tasks.math import PUBLISHED_PROBLEMS
from rlvr.tasks.overlap import text_key
from rlvr.tasks.templates import TEMPLATES, render

# name: problems to train on, and to test.
SIZES = {
    "gsm8k": (7473, 1319),
    "math500": (0, 500),
    "minerva_math": (0, 272),
    "olympiadbench": (0, 675),
    "aime24": (0, 30),
    "amc23": (0, 40),
    "omni_math_rule": (2000, 821),
}
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def no_data_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RLVR_DATA", raising=False)


@pytest.mark.parametrize("name", SIZES)
def test_the_real_files(data: Path, name: str) -> None:
    task = build_task(name, source=str(data))
    assert (len(task.train), len(task.test)) == SIZES[name]
    assert PUBLISHED_PROBLEMS[name] == len(task.test)
    assert (task.skipped, task.template, task.grader) == (0, "r1_zero", "math-strict-3")
    for split in (task.train, task.test):
        assert len({p.id for p in split}) == len(split)
    assert not {p.prompt for p in task.train} & {p.prompt for p in task.test}


@pytest.mark.parametrize(
    ("name", "identity", "reference"),
    [
        ("gsm8k", "0", "18"),
        ("math500", "test/precalculus/807.json", r"\left( 3, \frac{\pi}{2} \right)"),
        ("minerva_math", "0", "1.6"),
        ("olympiadbench", "1606", "2"),
        ("aime24", "60", "204"),
        ("amc23", "0", "27"),
    ],
)
def test_the_first_row_of_each(data: Path, name: str, identity: str, reference: str) -> None:
    problem = build_task(name, source=str(data), template="plain").test[0]
    assert (problem.id, problem.reference) == (identity, reference)


def test_omni_math_rule_is_split_by_seed_and_equal_texts_stay_together(data: Path) -> None:
    task = build_task("omni_math_rule", source=str(data))
    assert len({p.prompt for p in (*task.train, *task.test)}) == 2816
    again = build_task("omni_math_rule", source=str(data))
    assert again.data_hash() == task.data_hash()
    assert build_task("omni_math_rule", source=str(data), split_seed=1).data_hash() != task.data_hash()


def test_math500_is_found_through_the_environment(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLVR_DATA", str(data))
    prompt = build_task("math500").test[0].prompt
    assert prompt.startswith("A conversation between User and Assistant.") and prompt.endswith("Assistant:")


def write(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


GSM8K_ROW = {"question": "1+1?", "answer": "It is 2.\n#### 2"}


@pytest.mark.parametrize(
    ("name", "row", "complaint"),
    [
        ("math500", {"problem": "1+1"}, "row 0: no column 'answer'"),
        ("math500", {"problem": "1+1", "answer": " $ $ "}, "row 0: the answer ' \\$ \\$ ' is blank"),
        ("math500", {"problem": "1+1", "answer": "1" * 1001}, "is blank or above 1000"),
        ("math500", {"problem": "", "answer": "2"}, "column 'problem' is empty"),
        ("gsm8k", {"question": "1+1?", "answer": "It is 2."}, "column 'answer' has no #### before"),
        ("gsm8k", {"question": "1+1?", "answer": "#### two"}, "has 'two' after ####, which is no number"),
        ("minerva_math", {"problem": "1+1", "solution": "It is 2."}, r"column 'solution' has no \\boxed"),
        ("minerva_math", {"problem": "1+1", "solution": r"\boxed{2"}, r"column 'solution' has no \\boxed"),
        ("olympiadbench", {"question": "1+1", "final_answer": []}, "column 'final_answer' is \\[\\]"),
    ],
)
def test_rows_without_a_usable_answer(tmp_path: Path, name: str, row: dict[str, Any], complaint: str) -> None:
    with pytest.raises(TaskError, match=complaint):
        build_task(name, source=write(tmp_path / f"{name}.jsonl", row))


def test_bad_rows_may_be_left_out_and_are_counted(tmp_path: Path) -> None:
    file = write(tmp_path / "amc23.jsonl", {"problem": "1+1", "answer": 2.0}, {"problem": "1+2"})
    task = build_task("amc23", source=file, bad_rows="skip")
    assert ([p.reference for p in task.test], task.skipped) == (["2"], 1)


def test_gsm8k_has_two_files(tmp_path: Path) -> None:
    test = write(tmp_path / "gsm8k.jsonl", GSM8K_ROW)
    with pytest.raises(TaskError, match=r"gsm8k_train: cannot get the hub data set openai/gsm8k"):
        build_task("gsm8k", source=test)
    with pytest.raises(TaskError, match="1 questions are in the training and in the test file"):
        build_task("gsm8k", source=test, train_source=test)
    train = write(tmp_path / "gsm8k_train.jsonl", {**GSM8K_ROW, "question": "2+2?"})
    for sources in ({"source": test, "train_source": train}, {"source": str(tmp_path)}):
        task = build_task("gsm8k", **sources)
        assert [p.prompt[-20:] for p in task.train] == [render("r1_zero", "2+2?")[-20:]]


def test_a_problem_is_decided_by_its_tasks_template_and_grader(tmp_path: Path) -> None:
    file = write(tmp_path / "amc23.jsonl", {"problem": "1+1", "answer": 2.0})
    boxed = r"so \boxed{2.0001}"
    for template, grader, status in [
        ("qwen_boxed", "lenient", Status.CORRECT),
        ("qwen_boxed", "strict", Status.WRONG),
        ("r1_zero", "strict", Status.UNPARSED),
    ]:
        task = build_task("amc23", source=file, template=template, grader=grader)
        assert task.verifier(boxed, task.test[0].reference).status is status


def test_braces_in_a_question_are_left_alone() -> None:
    assert render("qwen_boxed", "{question} {x}").splitlines()[3] == "{question} {x}"


def test_the_document_shows_every_template_as_it_is() -> None:
    document = (ROOT / "docs" / "tasks.md").read_text()
    shown = document.split("\n```text\n")[1:]
    assert [block.partition("\n```\n")[0] for block in shown] == [
        template.removesuffix("\n") for template in TEMPLATES.values()
    ]


@pytest.mark.parametrize(
    "answer", ["N/A", "n/a", "None", "nan", "null", "?", "...", " N/A ", "NaN.", "Unknown", "-"]
)
def test_an_answer_that_stands_for_a_missing_one(tmp_path: Path, answer: str) -> None:
    rows = [{"problem": "1+1", "answer": "2"}, {"problem": "1+2", "answer": answer}]
    file = write(tmp_path / "math500.jsonl", *rows)
    with pytest.raises(TaskError, match=r"row 1: the answer .* stands for a missing one"):
        build_task("math500", source=file)


@pytest.mark.parametrize(
    "answer", ["No", "none of these", "A", "\\text{no solution}", "0", "-1", "\\emptyset"]
)
def test_answers_in_words_are_answers(tmp_path: Path, answer: str) -> None:
    file = write(tmp_path / "math500.jsonl", {"problem": "1+1", "answer": answer})
    assert build_task("math500", source=file).test[0].reference == answer


def test_a_whole_solution_is_no_answer(tmp_path: Path) -> None:
    solution = "First we note that the sum of both numbers must be even. " * 4
    file = write(tmp_path / "math500.jsonl", {"problem": "1+1", "answer": solution})
    with pytest.raises(TaskError, match=r"row 0: the answer .* is a text of more than 25 words"):
        build_task("math500", source=file)


@pytest.mark.parametrize("again", ["What is 6+1?", "what is  $6+1$ ?", "What is 6 + 1"])
def test_the_same_question_with_another_answer(tmp_path: Path, again: str) -> None:
    rows = [{"problem": "What is 6+1?", "answer": "7"}, {"problem": again, "answer": "8"}]
    file = write(tmp_path / "math500.jsonl", *rows)
    with pytest.raises(TaskError, match="row 1: the question of row 0 again, whose answer is '7', not '8'"):
        build_task("math500", source=file)
    with pytest.warns(
        UserWarning, match=r"task math500: 1 of 2 rows are left out by bad_rows=skip, first .*7"
    ):
        task = build_task("math500", source=file, bad_rows="skip")
    assert ([p.reference for p in task.test], task.skipped) == (["7"], 1)


@pytest.mark.parametrize(
    ("question", "answer"), [("What is 6-1?", "5"), ("What is 6+1?", "7.0"), ("6+1!", "8")]
)
def test_another_question_or_the_same_answer(tmp_path: Path, question: str, answer: str) -> None:
    rows = [{"problem": "What is 6+1?", "answer": "7"}, {"problem": question, "answer": answer}]
    assert len(build_task("math500", source=write(tmp_path / "math500.jsonl", *rows)).test) == 2


@pytest.mark.parametrize("grader", ["strict", "lenient", "study"])
def test_of_a_list_of_answers_any_is_right(tmp_path: Path, grader: str) -> None:
    file = write(tmp_path / "math500.jsonl", {"problem": "1+1", "answer": ["2", "two halves", "10_2"]})
    task = build_task("math500", source=file, template="qwen_boxed", grader=grader)
    given = [(f"\\boxed{{{answer}}}", task.test[0].reference) for answer in ("2", "10_2", "2.0", "3", "12")]
    assert [v.correct for v in task.verifier.grade(given)] == [True, True, True, False, False]


@pytest.mark.parametrize("answer", [[], [""], [2], [["2"]]])
def test_a_list_that_is_no_list_of_answers(tmp_path: Path, answer: list[Any]) -> None:
    file = write(tmp_path / "math500.jsonl", {"problem": "1+1", "answer": answer})
    with pytest.raises(TaskError, match=r"column 'answer' is .*, not text or a number, nor a list of texts"):
        build_task("math500", source=file)


def test_a_reference_of_several_boxes_is_a_list(tmp_path: Path) -> None:
    solution = r"Hence $\boxed{5}$ and $\boxed{7}$."
    file = write(tmp_path / "minerva_math.jsonl", {"problem": "1+1", "solution": solution})
    task = build_task("minerva_math", source=file, template="qwen_boxed")
    assert task.verifier(r"\boxed{7, 5}", task.test[0].reference).correct
    assert not task.verifier(r"\boxed{7}", task.test[0].reference).correct


NEAR = ((2645, 2664), (1209, 1850), (2243, 2183), (2406, 2448), (1763, 1216), (2439, 2481), (116, 446))


def test_questions_that_differ_in_spelling_alone_are_not_parted(data: Path) -> None:
    old = build_task("omni_math_rule", source=str(data), split_by="text")
    parted = {text_key(p.prompt) for p in old.train} & {text_key(p.prompt) for p in old.test}
    assert len(parted) == 5
    new = build_task("omni_math_rule", source=str(data))
    sides = {p.id: side for side, split in enumerate((new.train, new.test)) for p in split}
    assert all(sides[str(one)] == sides[str(other)] for one, other in NEAR)
    assert len({p.id for p in old.test} ^ {p.id for p in new.test}) <= 2 * len(parted)


def test_the_split_by_text_is_the_one_of_before(data: Path) -> None:
    task = build_task("omni_math_rule", source=str(data), split_by="text")
    assert task.data_hash() == "cc1be215f3cf0e10"


def test_rounding_is_for_minerva(tmp_path: Path) -> None:
    file = write(tmp_path / "minerva_math.jsonl", {"problem": "1+1", "solution": r"\boxed{1.6}"})
    versions = set()
    for rounding, right in (("none", False), ("reference", True)):
        task = build_task("minerva_math", source=file, template="qwen_boxed", rounding=rounding)
        assert task.verifier(r"\boxed{1.571}", "1.6").correct is right
        versions.add(task.grader)
    assert len(versions) == 2  # verdicts are stored by it
    with pytest.raises(TaskError, match="rounding=reference goes with grader=strict or lenient") as refused:
        build_task("minerva_math", source=file, grader="study", rounding="reference")
    assert refused.value.status == 2
    with pytest.raises(ValueError, match="rounding"):
        build_task("amc23", source=file, rounding="reference")


def test_the_name_paper_names_the_graders_of_today(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"called lenient .* study decides as the study's code does"):
        build_task("amc23", source=str(tmp_path), grader="paper")


def test_study_keeps_units_for_minerva_alone(data: Path) -> None:
    graders = {
        name: build_task(name, source=str(data), grader="study").grader
        for name in ("math500", "minerva_math")
    }
    assert graders == {"math500": "math-study-1", "minerva_math": "math-study-1+units"}
