"""A task of the user's own rows: its name, split, references, prompts, and what it shares with a probe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rlvr.config.errors import ConfigError
from rlvr.graders import Status
from rlvr.planning.recipe import load_config
from rlvr.sandbox import Confinement
from rlvr.tasks import Task, TaskError, build_task
from rlvr.tasks.data.names import is_path, spelled_out
from rlvr.tasks.data.task import remade
from rlvr.tasks.overlap import trained_on

ROWS = [{"question": f"What is {i} + 1?", "answer": str(i + 1), "hint": f"{{{i}}}"} for i in range(60)]


def saved(place: Path, rows: list[Any]) -> str:
    place.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(place)


def of(path: str, **options: Any) -> Task:
    return build_task("data", path=path, **options)


def questions(problems: Any) -> set[str]:
    return {p.question for p in problems}


def test_the_split_is_stable_when_rows_are_added_and_moved(tmp_path: Path) -> None:
    few = of(saved(tmp_path / "a.jsonl", ROWS[:30]), test_share=0.3)
    more = of(saved(tmp_path / "b.jsonl", ROWS[::-1]), test_share=0.3)
    assert questions(few.test) == questions(more.test) & {row["question"] for row in ROWS[:30]}
    assert questions(few.train) | questions(few.test) == {row["question"] for row in ROWS[:30]}
    assert 0 < len(few.test) < 20
    other = of(saved(tmp_path / "a.jsonl", ROWS[:30]), test_share=0.3, split_seed=1)
    assert questions(other.test) != questions(few.test)


def test_the_name_is_the_users_with_a_hash_of_what_is_asked(tmp_path: Path) -> None:
    file = saved(tmp_path / "my sums.jsonl", ROWS)
    task = of(file)
    assert task.name.startswith("my_sums@") and of(file, label="sums").name == task.name.replace(
        "my_sums", "sums"
    )
    assert of(file, template="plain").name == task.name  # however it is posed
    changed = of(saved(tmp_path / "my sums.jsonl", [{**row, "answer": "1"} for row in ROWS]))
    assert changed.name != task.name and changed.data_hash() != task.data_hash()


def test_a_split_column_two_files_and_what_stands_on_both_sides(tmp_path: Path) -> None:
    rows = [{**row, "split": ("train", "validation", "other")[i % 3]} for i, row in enumerate(ROWS)]
    task = of(saved(tmp_path / "a.jsonl", rows))
    assert (len(task.train), len(task.test)) == (20, 20)
    assert "20 rows of neither side" in " ".join(task.notes)
    train, test = saved(tmp_path / "b.jsonl", ROWS[:40]), saved(tmp_path / "c.jsonl", ROWS[39:])
    with pytest.raises(
        TaskError, match=r"b\.jsonl, row 39: its question is also in the test split: .*c\.jsonl, row 0"
    ):
        of(train, test_path=test)
    task = of(train, test_path=test, bad_rows="skip")
    assert (len(task.train), len(task.test), task.skipped) == (39, 21, 1)
    assert len({p.id for p in (*task.train, *task.test)}) == 60


CHOICES = ["red", "blue", "green"]
LABELLED = {"text": CHOICES, "label": ["C", "D", "E"]}
TWO_COLUMNS = {"columns": {"choices": ["x", "y"]}}
DOUBLE = "def double(x): return x * 2"
TESTS = [{"input": "2\n", "output": "4\n"}]
SCHEMA = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer", "minimum": 1}}}


@pytest.mark.parametrize(
    ("verifier", "row", "options", "right", "wrong", "unparsed"),
    [
        ("math", {"answer": r"so \boxed{\frac12}"}, {}, "Answer: 0.5", "Answer: 2", ""),
        ("math", {"answer": "two and two\n#### 1,234"}, {}, r"\boxed{1234}", r"\boxed{2}", ""),
        ("exact", {"answer": "São Paulo"}, {}, "Answer: Sa\u0303o  Paulo", "Answer: são paulo", ""),
        ("exact", {"answer": ["Yes", "Y"]}, {"ignore_case": True}, "y", "no", "<think>yes</think>"),
        ("number", {"answer": 2.5}, {}, "The answer is 5/2 km.", "The answer is 2.51", "Answer: 2 or 3"),
        ("number", {"answer": "1e3"}, {}, "998 + 2 = 1,000", "1000 + 1 = 1001", "x = y"),
        ("number", {"answer": "100"}, {"tolerance": 0.01}, "Answer: 100.9", "Answer: 101.1", "none"),
        ("choice", {"answer": "B", "choices": CHOICES}, {}, "Answer: (B) blue", "Answer: A", "Answer: pink"),
        ("choice", {"answer": 2, "choices": CHOICES}, {}, "Green.", "b", "Answer: D"),
        ("choice", {"answer": "C", "choices": LABELLED}, {}, "A", "C", "?"),
        ("choice", {"answer": "green", "x": "red", "y": "green"}, TWO_COLUMNS, "b", "a", "c"),
        ("regex", {"answer": r"[ab]{2}\d+"}, {}, "ab12", "ab12 ", None),
        ("json_schema", {"answer": SCHEMA}, {}, '```json\n{"a": 2}\n```', '{"a": 0}', "a: 2"),
        ("json_schema", {"answer": json.dumps(SCHEMA)}, {}, '{"a": 2.0}', '{"a": true}', "{"),
    ],
)  # fmt: skip
def test_verifiers_by_name(
    tmp_path: Path,
    verifier: str,
    row: dict[str, Any],
    options: dict[str, Any],
    right: str,
    wrong: str,
    unparsed: Any,
) -> None:
    file = saved(tmp_path / "a.jsonl", [{"question": "?", **row}])
    task = of(file, verifier=verifier, template="plain", split_by="test", **options)
    reference = task.test[0].reference
    expected = {right: Status.CORRECT, wrong: Status.WRONG, unparsed: Status.UNPARSED}
    if verifier == "regex":  # spaces around an answer are no part of it
        expected = {right: Status.CORRECT, "xab12": Status.WRONG, "": Status.UNPARSED}
    got = task.verifier.grade([(text, reference) for text in expected])
    assert [v.status for v in got] == [*expected.values()]


@pytest.mark.parametrize(
    ("tests", "entry_point", "right", "wrong"),
    [
        (TESTS, None, "print(2 * int(input()))", "print(3)"),
        ("assert double(2) == 4\nassert double([1]) == [1, 1]", None, DOUBLE, "def double(x): return 4"),
        (["assert double(2) == 4"], None, DOUBLE, "def double(x): return 3"),
        ([{"input": [2], "output": 4}], "f", "def f(x): return 2 * x", "def f(x): return x"),
    ],
)  # fmt: skip
def test_code_by_tests_of_each_form(
    tmp_path: Path, tests: Any, entry_point: str | None, right: str, wrong: str, confinement: Confinement
) -> None:
    row = {"question": "?", "tests": tests} | ({"entry_point": entry_point} if entry_point else {})
    task = of(saved(tmp_path / "a.jsonl", [row]), verifier="code", template="plain", split_by="test")
    said = [(f"```python\n{program}\n```", task.test[0].reference) for program in (right, wrong)]
    assert [v.correct for v in task.verifier.grade(said)] == [True, False]


@pytest.mark.parametrize(
    ("verifier", "row", "said"),
    [
        ("number", {"answer": "many"}, "column 'answer' is 'many', which is no number"),
        ("regex", {"answer": "(a"}, "no regular expression"),
        ("json_schema", {"answer": {"pattern": "a"}}, "the schema has pattern; checked are"),
        ("json_schema", {"answer": "{"}, "no JSON"),
        ("choice", {"answer": "Z", "choices": CHOICES}, "none of the 3 choices by letter, number or text"),
        ("choice", {"answer": "A", "choices": "red or blue"}, "a text that is no JSON list"),
        ("code", {"tests": []}, "not a list of tests"),
        ("code", {"tests": "assert f(x) == 1"}, "with literal arguments"),
        ("code", {"tests": "import os"}, r"read are lines assert"),
        ("code", {"tests": [{"input": [1], "output": 1}]}, "name it in task.columns.entry_point"),
    ],
)
def test_references_that_a_verifier_cannot_use(
    tmp_path: Path, verifier: str, row: dict[str, Any], said: str
) -> None:
    with pytest.raises(TaskError, match=said) as caught:
        of(saved(tmp_path / "a.jsonl", [{"question": "?", **row}]), verifier=verifier)
    assert "a.jsonl, row 0" in str(caught.value)


def test_a_verifier_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_verifier.py").write_text(
        "def half(completion, reference):\n    return 0.5 if reference in completion else False\n"
        "def broken(completion, reference):\n    return 'yes'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    file = saved(
        tmp_path / "a.jsonl", [{"question": "?", "answer": {"any": 1}}, {"question": "!", "answer": "a"}]
    )
    task = of(file, verifier="my_verifier:half", split_by="test")
    verdict = task.verifier("xay", task.test[1].reference)
    assert (verdict.status, verdict.score) == (Status.WRONG, 0.5) and task.grader.startswith("my_verifier-")
    broken = of(file, verifier="my_verifier:broken", split_by="test")
    with pytest.raises(
        Exception, match=r"my_verifier:broken returned 'yes', which is no bool.*completion 'x'"
    ):
        broken.verifier("x", "a")


def test_reasoning_is_looked_at_where_asked(tmp_path: Path) -> None:
    file = saved(tmp_path / "a.jsonl", ROWS)
    assert of(file).soundness is None
    task = of(file, soundness="arithmetic")
    reference = next(p.reference for p in task.train if p.reference == "3")
    said = [f"<think>2 + 1 = {n}</think> <answer>3</answer>" for n in (3, 4)]
    verdicts = task.grade([(text, reference) for text in said])
    assert [(v.status, v.sound) for v in verdicts] == [(Status.CORRECT, True), (Status.CORRECT, False)]
    judged = of(file, soundness={"name": "judge", "url": "http://localhost:1", "model": "m"})
    assert judged.soundness is not None and judged.soundness.startswith("judge-1 m x1 ")


def test_a_template_file_with_columns_and_its_stamp(tmp_path: Path) -> None:
    file = saved(tmp_path / "a.jsonl", ROWS)
    template = tmp_path / "mine.txt"
    template.write_text("{{Q}} {question} ({hint})\nWrite <answer> </answer>.")
    task = of(file, template=str(template))
    problem = next(p for p in (*task.train, *task.test) if p.id == "3")
    assert problem.prompt == "{Q} What is 3 + 1? ({3})\nWrite <answer> </answer>."
    assert task.template.startswith("mine-") and task.ends == ("</answer>",)
    assert task.verifier("<answer>4</answer>", "4").correct and not task.verifier("4", "4").correct
    template.write_text("{question} {hnt}")
    with pytest.raises(TaskError, match=r"names \{hnt\}, and .*a\.jsonl, row \d+ has no such column"):
        of(file, template=str(template))
    template.write_text("question")
    with pytest.raises(TaskError, match=r"has no \{question\}"):
        of(file, template=str(template))


def test_examples_come_from_training_rows_and_never_show_the_problem(tmp_path: Path) -> None:
    task = of(saved(tmp_path / "a.jsonl", ROWS), template="plain", few_shot=2, stop=["\n\n"])
    shown = {line for p in (*task.train, *task.test) for line in p.prompt.split("\n\n")[:-1]}
    assert len(shown) == 3 and {line.partition("\n")[0] for line in shown} <= questions(task.train)
    for problem in (*task.train, *task.test):
        assert problem.prompt.count("Answer:") == 2 and problem.prompt.count(problem.question) == 1
    assert task.template.startswith("plain+2shot-") and task.ends == ("\n\n",)


def test_probed_and_trained_problems_are_held_apart(tmp_path: Path) -> None:
    file = saved(tmp_path / "a.jsonl", ROWS)
    trained = of(file, template="plain")
    assert trained_on(trained, of(file, template="plain")) == []
    assert trained_on(trained, of(file)) == []  # posed otherwise, split alike
    apart = of(file, split_seed=3)
    assert set(trained_on(trained, apart)) == {
        p.id for p in apart.test if p.question in questions(trained.train)
    }
    other = build_task("data", path=saved(tmp_path / "b.jsonl", ROWS[:5]), split_by="test")
    assert len(trained_on(trained, other)) == len(questions(other.test) & questions(trained.train))


def test_a_benchmarks_questions_are_known_under_another_template(tmp_path: Path) -> None:
    file = saved(
        tmp_path / "gsm8k.jsonl",
        [{"question": row["question"], "answer": f"#### {row['answer']}"} for row in ROWS],
    )
    saved(tmp_path / "gsm8k_train.jsonl", [{"question": "else", "answer": "#### 1"}])
    benchmark = build_task("gsm8k", source=str(tmp_path), template="qwen_boxed")
    mine = of(file, template="chat", split_by="train")
    assert len(trained_on(mine, benchmark)) == 60


def test_the_recipe_takes_a_path_and_the_probe_the_same_keys(tmp_path: Path) -> None:
    file = saved(tmp_path / "a.jsonl", ROWS)
    other = saved(tmp_path / "b.jsonl", [{"question": f"{i}?", "answer": "1", "level": 1} for i in range(9)])
    given = [f"task={file}", "task.template=plain", "task.test_share=0.2", "task.label=sums"]
    config = load_config(["recipe=grpo_tiny", *given, f"probe.tasks=[data, {{name: {other}, split: train}}]"])
    assert config.task.name == "data" and config.task.options["path"] == file
    mine, theirs = config.probe.tasks  # type: ignore[attr-defined]
    assert mine.options == config.task.options and mine.label == "sums"
    assert theirs.label == "b/train" and theirs.options["template"] == "plain"
    assert theirs.options["test_share"] == 0.1 and theirs.options["label"] is None
    saved(tmp_path / "a.jsonl", [{"question": "?", "answer": ""}])
    with pytest.raises(ConfigError, match=r"task\.path = .*\n +.*row 0: column 'answer' is empty") as caught:
        load_config(["recipe=grpo_tiny", *given])
    assert caught.value.status == 2


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("mine.csv", True), ("dir/mine.jsonl.gz", True), ("./mine", True), ("someone/sums", True),
        ("countdown:3", False), ("countdown:3/train", False), ("mine@0a1b2c3d", False),
        ("mine@0a1b2c3d/train", False), ("my_task:sums", False), ("mine", False),
    ],
)  # fmt: skip
def test_which_names_are_paths(name: str, path: bool) -> None:
    assert is_path(name) == path
    assert spelled_out({"name": name}) == ({"name": "data", "path": name} if path else {"name": name})


def test_a_mixture_of_own_data(tmp_path: Path) -> None:
    paths = [saved(tmp_path / f"{name}.jsonl", ROWS[i::2]) for i, name in enumerate("ab")]
    task = build_task(
        "mixture", tasks=[{"name": "data", "path": path, "template": "plain"} for path in paths]
    )
    assert [part.name.partition("@")[0] for part in task.parts] == ["a", "b"]
    from rlvr.tasks.streams import problem_stream

    (_, first), (_, second) = problem_stream(task, 0).take(2)
    assert {p.id.partition("@")[0] for p in (first, second)} == {"a", "b"} and first.columns["hint"]


def test_a_report_counts_what_is_there(tmp_path: Path) -> None:
    from rlvr.tasks.data.report import Lengths, report

    rows = [*ROWS, ROWS[0], {"question": "x", "answer": ""}]
    made = remade({"path": saved(tmp_path / "a.jsonl", rows), "template": "plain", "bad_rows": "skip"})
    found = report(made.task, Lengths(lambda ps: [len(p.prompt) for p in ps], "characters", room=15), made)
    text = "\n".join(found.lines)
    assert "1 rows repeat a question" in text and "0 questions are in both splits" in text
    assert "left out: 1 x column 'answer' is empty" in text and text.count(": correct, read") == 5
    assert "leave no room for a completion in a context of 16 tokens" in found.faults[0]
