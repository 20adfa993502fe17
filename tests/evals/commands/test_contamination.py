"""`python -m evals contamination`, and a probe that leaves copies out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.commands import contamination
from evals.probe.plugin import copied_problems, probed_tasks
from rlvr.config.errors import ConfigError
from rlvr.planning.recipe import load_config


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A test problem that is a training problem in other spelling, beside one that is none."""
    texts = {
        "gsm8k_train": ["What is $3 \\times 4$ plus the sum of all primes below 12?", "How old is Ann?"],
        "gsm8k": ["what is $3\\cdot4$ plus the sum of all primes below 12", "How many boxes has Tom?"],
    }
    for name, own in texts.items():
        rows = [{"question": text, "answer": f"so #### {i}"} for i, text in enumerate(own)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_copies_are_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [f"train.source={data}", f"test.source={data}", "train.name=gsm8k", "test.name=gsm8k"]
    assert contamination.main([*given, f"out={data / 'out.jsonl'}"]) == 0
    assert (
        "1 of the 2 test problems of gsm8k are copies of training problems of gsm8k"
        in capsys.readouterr().out
    )
    (row,) = map(json.loads, (data / "out.jsonl").read_text().splitlines())
    assert row == {"problem": "0", "of": "0", "alike": 1.0}


def test_a_name_alone_is_a_task(capsys: pytest.CaptureFixture[str]) -> None:
    assert contamination.main(["train=countdown:3", "test=countdown:4"]) == 0
    assert "0 of the 200 test problems of countdown:4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"), [(["train=countdown:3"], "test"), (["train=nothing", "test=gsm8k"], "nothing")]
)
def test_mistakes(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert contamination.main(arguments) == 2
    assert said in capsys.readouterr().err


def test_a_probe_can_leave_them_out(data: Path) -> None:
    source = f"source: {data}"
    given = [
        "recipe=grpo_tiny",
        "task=gsm8k",
        f"task.source={data}",
        f"probe.tasks=[{{name: gsm8k, {source}}}]",
    ]
    config = load_config(given)
    assert [len(task.test) for task in probed_tasks(config)] == [2]
    assert copied_problems(config, probed_tasks(config)) == {"gsm8k": {"0"}}
    clean = load_config([*given, "probe.drop_contaminated=true"])
    assert [[problem.id for problem in task.test] for task in probed_tasks(clean)] == [["1"]]
    lines = (data / "gsm8k.jsonl").read_text().splitlines()
    (data / "gsm8k.jsonl").write_text(lines[0] + "\n")
    with pytest.raises(ConfigError, match="nothing is left to probe"):
        probed_tasks(clean)
