"""rlvr data: what is shown of a file, of a benchmark, and under a model; and the exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from launch.data import main, spelled
from rlvr.models.loading import load_tokenizer

TURNS = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}<eos>{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.fixture
def rows(tmp_path: Path) -> str:
    made = [{"question": f"What is {i} + 1?", "answer": str(i + 1)} for i in range(40)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    return str(tmp_path / "sums.jsonl")


def test_a_path_needs_no_key() -> None:
    assert spelled(["mine.csv", "model=m"]) == ["task=data", "task.path=mine.csv", "model=m"]
    assert spelled(["folder"]) == ["task=data", "task.path=folder"]
    assert spelled(["countdown:4"]) == ["task=countdown:4"]


def test_a_file_in_characters(rows: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([rows, "task.template=plain"]) == 0
    shown = capsys.readouterr().out
    assert "40 rows in " in shown and "columns: problem = question, answer = answer" in shown
    assert "prompts in characters" in shown and "'What is 0 + 1?\\n'" in shown
    assert shown.count(": correct, read") == 5 and "0 questions are in both splits" in shown


def test_under_a_model_in_its_tokens(
    rows: str, untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chat = tmp_path / "chat"
    tokenizer = load_tokenizer(untrained)
    tokenizer.chat_template = TURNS
    tokenizer.save_pretrained(chat)
    (chat / "config.json").write_bytes((untrained / "config.json").read_bytes())
    given = [rows, "task.template=chat", 'task.instruction=""', f"model={chat}"]
    assert main(given) == 0
    shown = capsys.readouterr().out
    assert "prompts in tokens" in shown and "'[user]What is 0 + 1?<eos>[assistant]'" in shown
    config = json.loads((chat / "config.json").read_text()) | {"max_position_embeddings": 20}
    (chat / "config.json").write_text(json.dumps(config))
    assert main(given) == 2
    assert "leave no room for a completion in a context of 20 tokens" in capsys.readouterr().out
    assert main([*given[:-1], f"model={untrained}"]) == 2
    assert "as base models have none" in capsys.readouterr().err


def test_generated_and_built_in_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["countdown:3"]) == 0
    shown = capsys.readouterr().out
    assert "1,800 to train on, 200 to test" in shown and "nothing says how a right completion" in shown


@pytest.mark.parametrize(
    ("content", "given", "said"),
    [
        ('{"question": "a", "answer": ""}\n', [], "row 0: column 'answer' is empty"),
        ('{"question": "a", "answer": "1"}\n', ["task.verifer=math"], "did you mean task.verifier?"),
        ('{"question": "a", "answer": "1"}\n', ["task.columns.answer=b"], "no column 'b'"),
        (None, [], "does not exist"),
    ],
)
def test_what_cannot_be_used(
    tmp_path: Path, content: str | None, given: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "a.jsonl").write_text(content)
    assert main([str(tmp_path / "a.jsonl"), *given]) == 2
    assert said in capsys.readouterr().err


def test_references_that_no_verdict_takes_for_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "never.py").write_text("def right(completion, reference):\n    return False\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "a.jsonl").write_text('{"question": "a", "answer": "1"}\n')
    assert main([str(tmp_path / "a.jsonl"), "task.verifier=never:right"]) == 2
    assert "takes none of the references above for right" in capsys.readouterr().out
