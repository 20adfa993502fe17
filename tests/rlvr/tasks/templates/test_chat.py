"""The tokenizer's chat template as a prompt: what is checked and stamped, and that no token is doubled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from chats import BEGUN, TURNS, tokenizer

from rlvr.graders import Status
from rlvr.tasks import Problem, Task, TaskError, build_task
from rlvr.tasks.templates.chat import all_prompt_ids, posed, prompt_ids, prompt_lengths

THINKS = (
    "{% if add_generation_prompt %}<assistant>{% if enable_thinking is defined and not enable_thinking %}"
    "<think>\n\n</think>\n\n{% else %}<think>\n{% endif %}{% endif %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
ROWS = [{"question": f"What is {i} + 1?", "answer": str(i + 1)} for i in range(40)]


@pytest.fixture
def rows(tmp_path: Path) -> str:
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return str(tmp_path / "sums.jsonl")


def of(rows: str, **options: Any) -> Task:
    return build_task("data", path=rows, template="chat", **options)


def test_a_question_becomes_turns(rows: str) -> None:
    task = of(rows, system="Be brief.", few_shot=1, instruction="Add.")
    made = posed(task, tokenizer(TURNS + BEGUN))
    for problem in (*made.train, *made.test):
        assert problem.chat and problem.prompt.endswith(f"<user>{problem.question}\n\nAdd.<eos><assistant>")
        assert problem.prompt.startswith("<system>Be brief.<eos><user>What is ")
        assert problem.prompt.count("<user>") == 2 and problem.prompt.count(problem.question) == 1
    assert posed(made, tokenizer(TURNS + BEGUN)) is made and made.name == task.name


def test_a_plain_default_asks_for_a_box(rows: str) -> None:
    made = posed(of(rows), tokenizer(TURNS + BEGUN))
    assert "put your final answer within \\boxed{}" in made.test[0].prompt
    assert made.verifier("It is \\boxed{" + made.test[0].reference + "}", made.test[0].reference).correct


def test_the_stamp_changes_with_whatever_poses(rows: str) -> None:
    ways: list[tuple[str, dict[str, Any]]] = [
        (TURNS + BEGUN, {}),
        (TURNS + "{# edited #}" + BEGUN, {}),
        (TURNS + BEGUN, {"system": "Be brief."}),
        (TURNS + BEGUN, {"instruction": "Add."}),
        (TURNS + BEGUN, {"few_shot": 1}),
        (TURNS + BEGUN, {"few_shot": 2}),
        (TURNS + THINKS, {"thinking": "on"}),
        (TURNS + THINKS, {"thinking": False}),  # what YAML makes of off
    ]
    stamps = [posed(of(rows, **options), tokenizer(template)).template for template, options in ways]
    assert len(set(stamps)) == len(stamps) and all(stamp.startswith("chat-") for stamp in stamps)
    assert stamps[0] == posed(of(rows), tokenizer(TURNS + BEGUN)).template


@pytest.mark.parametrize(
    ("template", "options", "said"),
    [
        (None, {}, r"has none, as base models have none: give task.template=r1_zero"),
        (TURNS, {}, r"does not begin the assistant's turn.*\n.*<eos>'\n.*<eos>'\n"),
        ("<user>" + BEGUN, {}, "leaves the question out"),
        (TURNS + BEGUN, {"thinking": "off"}, "makes no difference between thinking and not"),
        (NO_SYSTEM + TURNS + BEGUN, {"system": "x"}, "cannot take turns of system, user: no system role"),
        (TURNS.replace("messages", "messages[1:]") + BEGUN, {"system": "x y"}, "leaves the system prompt"),
    ],
)  # fmt: skip
def test_a_template_that_does_not_do_is_refused(
    rows: str, template: str | None, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(TaskError, match=said) as caught:
        posed(of(rows, **options), tokenizer(template))
    assert caught.value.status == 2


def test_an_answer_is_read_after_the_thought_that_the_prompt_began(rows: str) -> None:
    on, off = (posed(of(rows, thinking=thinking), tokenizer(TURNS + THINKS)) for thinking in ("on", "off"))
    assert on.test[0].prompt.endswith("<think>\n") and off.test[0].prompt.endswith("</think>\n\n")
    right = on.test[0].reference
    said = {
        f"It is \\boxed{{{right}}}": Status.UNPARSED,  # the thought never ended
        f"\\boxed{{0}}</think>So \\boxed{{{right}}}": Status.CORRECT,
        f"\\boxed{{{right}}}</think>So \\boxed{{0}}": Status.WRONG,
        "thought</think>": Status.UNPARSED,
    }
    got = on.verifier.grade([(text, right) for text in said])
    assert [v.status for v in got] == [*said.values()]
    assert on.grader == off.grader + "+thought"
    assert off.verifier(f"It is \\boxed{{{right}}}", right).correct


def test_no_beginning_of_sequence_token_is_doubled() -> None:
    begins = tokenizer("<pad>" + TURNS + BEGUN, begins=True)
    pad = begins.pad_token_id
    plain = prompt_ids(begins, Problem("", "1 + 1", None))
    assert plain[0] == pad and plain.count(pad) == 1
    written_out = prompt_ids(begins, Problem("", "<pad>1 + 1", None))
    assert written_out == plain
    chat = begins.apply_chat_template([{"role": "user", "content": "1 + 1"}], add_generation_prompt=True)
    text = begins.apply_chat_template(
        [{"role": "user", "content": "1 + 1"}], add_generation_prompt=True, tokenize=False
    )
    assert prompt_ids(begins, Problem("", text, None, chat=True)) == tuple(chat["input_ids"])
    none = tokenizer(TURNS + BEGUN)
    assert prompt_ids(none, Problem("", "1 + 1", None)) == tuple(b"1 + 1")


def test_many_prompts_at_a_time_are_the_same() -> None:
    for begins in (False, True):
        made = tokenizer(TURNS + BEGUN, begins)
        problems = [
            Problem(str(i), f"{'<pad>' * (i % 2)}{i} + 1", None, chat=i // 300 == 1) for i in range(900)
        ]
        expected = [prompt_ids(made, p) for p in problems]
        assert all_prompt_ids(made, problems) == expected
        assert prompt_lengths(made, problems) == [len(ids) for ids in expected]


def test_a_mixture_is_posed_part_by_part(rows: str) -> None:
    tasks = [{"name": "data", "path": rows, "template": "chat"}, {"name": "countdown:3"}]
    made = posed(build_task("mixture", tasks=tasks), tokenizer(TURNS + BEGUN))
    chat, plain = made.parts
    assert chat.train[0].prompt.endswith("<assistant>") and not plain.train[0].chat
    assert made.template == f"{chat.template}+countdown-plain-1"
    reference = {"task": chat.name, "reference": chat.train[0].reference}
    assert made.verifier(f"\\boxed{{{chat.train[0].reference}}}", reference).correct


def test_a_benchmark_is_posed_by_the_chat_template_too(tmp_path: Path) -> None:
    row = {"id": "1", "problem": "1+1?", "answer": "2"}
    (tmp_path / "amc23.jsonl").write_text(json.dumps(row) + "\n")
    task = build_task("amc23", source=str(tmp_path), template="chat", thinking="on", system="Be brief.")
    made = posed(task, tokenizer(TURNS + THINKS))
    (problem,) = made.test
    assert problem.prompt.startswith("<system>Be brief.<eos><user>1+1?\n\nPlease reason step by step")
    assert problem.question == "1+1?" and made.template.startswith("chat-")
    assert (
        made.verifier("hm</think> \\boxed{2}", "2").correct and not made.verifier("\\boxed{2}", "2").correct
    )
    with pytest.raises(TaskError, match=r"amc23: system and thinking are for task\.template=chat"):
        build_task("amc23", source=str(tmp_path), system="Be brief.")
