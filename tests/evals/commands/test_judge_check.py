"""`python -m evals judge-check`, and `sound` with a judge, on chains of countdown with known steps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stand_in_server import MODEL, Answer, free_port, stand_in
from stored_files import CONDITIONS, ORIGIN

from evals.commands import sound
from evals.commands.controls import judge_check
from evals.records.files import COUNTS, SAMPLES, counts_file, samples_file, stamped
from rlvr.tasks.countdown import prompt_of

TEXTS = {  # by problem: right answers, the first two sound, the third with a wrong step; a wrong answer
    (1, 2, 3): ["1+2=3\n3+3=6\nanswer: (1+2)+3", "2+3=5\n5+1=6\nanswer: (2+3)+1", "1+2=9\nanswer: (1+2)+3"],
    (2, 3, 4): ["2+3=5\n5+4=9\nanswer: (2+3)+4", "3+4=7\n7+2=9\nanswer: (3+4)+2", "2+3=7\nanswer: (2+3)+4"],
}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    about = replace(CONDITIONS, task="countdown:3")
    counts, samples = [], []
    for numbers, texts in TEXTS.items():
        name, target = "-".join(map(str, numbers)), sum(numbers)
        for index, text in enumerate([*texts, "answer: 1"]):
            right = index < len(texts)
            samples.append(
                {"problem": name, "index": index, "text": text, "token_ids": [index], "tokens": 1,
                 "logprob": -1.0, "finish_reason": "stop", "status": "correct" if right else "wrong"}
            )  # fmt: skip
        reference = json.dumps({"numbers": numbers, "target": target})
        counts.append(
            {"problem": name, "n": 4, "correct": 3, "n_max": 4, "prompt": prompt_of(numbers, target),
             "reference": reference}
        )  # fmt: skip
    directory = tmp_path / "out"
    directory.mkdir()
    for rows, schema, file in (
        (counts, COUNTS, counts_file(directory, about.task)),
        (samples, SAMPLES, samples_file(directory, about.task)),
    ):
        pq.write_table(pa.Table.from_pylist(rows, stamped(schema, about, ORIGIN)), file)
    return directory


def half_blind(asked: dict[str, Any], _: int) -> Answer:
    """Finds the wrong step in one of the two problems, and cannot decide on one sound chain."""
    text = asked["messages"][0]["content"]
    assert "target" in text or "=" in text
    if "1+2=9" in text:
        return Answer("The first step is wrong.\nverdict: unsound")
    return Answer("hm" if "3+4=7" in text else "verdict: sound")


def test_a_judge_is_measured_and_its_numbers_are_shown_with_that(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with stand_in(half_blind) as server:
        settings = [f"soundness.url={server.url}", f"soundness.model={MODEL}"]
        assert sound.main([str(out), "soundness=judge", *settings, "ks=1,4", "write=true"]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert "was never checked" in shown and len(server.asked) == 6  # the right answers
        check = [str(out), f"judge.url={server.url}", f"judge.model={MODEL}"]
        assert judge_check.main([*check, "against=steps", f"out={tmp_path / 'check.json'}"]) == 0
        said = capsys.readouterr().out
        assert "agreement 80.0 [" in said and "precision 100.0 [" in said and "recall 50.0 [" in said
        assert len(server.asked) == 6  # they were asked already
        assert sound.main([str(out), "soundness=judge", *settings, "ks=1,4"]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert "never checked" not in shown and "agreement 80.0" in shown and "undecided" in shown
    (found,) = json.loads((tmp_path / "check.json").read_text())["checks"]
    assert (found["samples"], found["unsound"]) == (6, 2) and found["undecided"][0] == pytest.approx(1 / 6)


def test_the_tasks_own_checker_is_the_measure_by_default(out: Path, tmp_path: Path) -> None:
    with stand_in(half_blind) as server:
        arguments = [str(out), f"judge.url={server.url}", f"judge.model={MODEL}", "max_samples=3"]
        assert judge_check.main([*arguments, f"out={tmp_path / 'check.json'}"]) == 0
        assert len(server.asked) == 3
    (found,) = json.loads((tmp_path / "check.json").read_text())["checks"]
    assert found["against"] == "steps-1" and found["task"] == "countdown:3" and found["samples"] == 3


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["judge.url=http://127.0.0.1:PORT", "judge.model=m"], 1, "no server answers"),
        (["judge.url=u"], 2, "judge.model"),
        (["judge.url=u", "judge.model=m", "against=none"], 2, "give an exact checker"),
        (["judge.url=u", "judge.model=m", "judge.votes=2"], 2, "are one vote"),
        (["judge.url=u", "judge.model=m", "task=gsm8k"], 2, "holds no samples"),
    ],
)
def test_mistakes(
    out: Path, arguments: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [argument.replace("PORT", str(free_port())) for argument in arguments]
    assert judge_check.main([str(out), *arguments]) == status
    assert said in capsys.readouterr().err
