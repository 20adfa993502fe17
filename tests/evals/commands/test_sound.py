"""`python -m evals sound`: stored samples of any age, and the files that it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from stored_files import write_measured

from evals.commands import passk, sound
from evals.commands.problems import ledger
from evals.records.files import counts_file, read_counts, samples_file
from rlvr.graders.soundness import StringChecker

SOUND, UNSOUND, OPEN = "sound", "unsound", "open"


def says(text: str, reference: object) -> bool | None:
    """What its text says: it is A."""
    answer = text.removeprefix("it is ")
    return {"1": True, "2": False}.get(answer)


def checker() -> StringChecker:
    return StringChecker(says, "says-1")


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A base and a model; "1" is right and sound, "2" right after a wrong step, "3" right and undecided."""
    answers = {
        "base": {"a": ["1", "1", "x", "x"], "b": ["1", "2", "3", "x"], "c": ["x", "x", "x", "x"]},
        "": {"a": ["2", "2", "2", "2"], "b": ["1", "1", "2", "x"], "c": ["x", "2", "x", "x"]},
    }
    for folder, given in answers.items():
        directory = tmp_path / "out" / folder
        write_measured(directory, given, {"a": "-", "b": "-", "c": "-"})
        right = {p: [g in "123" for g in row] for p, row in given.items()}
        samples = pq.read_table(samples_file(directory, "sums:2"))
        rows = samples.to_pylist()
        for row in rows:
            row["status"] = "correct" if right[row["problem"]][row["index"]] else "wrong"
        pq.write_table(type(samples).from_pylist(rows, samples.schema), samples_file(directory, "sums:2"))
        counts = pq.read_table(counts_file(directory, "sums:2"))
        rows = [{**row, "correct": sum(right[row["problem"]])} for row in counts.to_pylist()]
        pq.write_table(type(counts).from_pylist(rows, counts.schema), counts_file(directory, "sums:2"))
    return tmp_path / "out"


def run(pair: Path, *arguments: str) -> int:
    return sound.main([str(pair), f"soundness={__name__}:checker", "ks=1,4", *arguments])


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or __import__(__name__))


def test_by_hand(pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(pair, f"out={tmp_path / 'found.json'}") == 0
    base, model = json.loads((tmp_path / "found.json").read_text())["records"]
    assert base["of"] == "base" and base["pass_at_k"] == pytest.approx([5 / 12, 2 / 3])
    assert base["sound_pass_at_k"] == pytest.approx([4 / 12, 2 / 3])  # the undecided one counts
    assert base["unsound"] == pytest.approx(1 / 5) and base["undecided"] == pytest.approx(1 / 5)
    assert model["pass_at_k"] == pytest.approx([8 / 12, 1]) and model["unsound"] == pytest.approx(6 / 8)
    assert model["sound_pass_at_k"] == pytest.approx([2 / 12, 1 / 3]) and model["graded"] == 12
    shown = capsys.readouterr().out
    assert "75.0" in shown and "problems: intervals over fewer than 50" in " ".join(shown.split())


def test_what_it_writes_is_read_by_the_others(
    pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ledger.main([str(pair)]) == 0
    before = capsys.readouterr().out
    assert "wrong reason" not in before
    assert run(pair, "write=true") == 0
    read = read_counts(counts_file(pair, "sums:2"))
    assert read.soundness == "says-1" and read.sound is not None
    assert read.sound.sound.correct.tolist() == [0, 2, 0]
    assert run(pair, f"out={tmp_path / 'again.json'}") == 0
    assert [row["graded"] for row in json.loads((tmp_path / "again.json").read_text())["records"]] == [0, 0]
    capsys.readouterr()
    assert ledger.main([str(pair), f"out={tmp_path / 'ledger'}"]) == 0
    shown = capsys.readouterr().out
    assert "right, for a wrong reason          2" in shown
    rows = {r["problem"]: r for r in map(json.loads, (tmp_path / "ledger" / "ledger.jsonl").open())}
    assert (
        rows["a"]["outcome"] == "both" and rows["a"]["sound_outcome"] == "lost" and rows["a"]["wrong_reason"]
    )
    assert rows["c"]["outcome"] == "gained" and rows["c"]["sound_outcome"] == "neither"
    assert not rows["b"]["wrong_reason"]
    assert "correct, with a wrong step" in (tmp_path / "ledger" / "transcripts" / "a.md").read_text()
    out = tmp_path / "passk.json"
    files = [str(counts_file(folder, "sums:2")) for folder in (pair, pair / "base")]
    assert passk.main([files[0], f"base={files[1]}", "k=4", f"out={out}"]) == 0
    made = json.loads(out.read_text())
    assert made["measured"]["sound"]["pass_at_k"] == pytest.approx([2 / 12, 0.2777777777777778, 1 / 3])
    assert made["comparison"]["sound"]["gap"]["value"] == pytest.approx(2 / 3 - 2 / 12)


def test_without_a_checker_nothing_is_guessed(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sound.main([str(pair)]) == 2
    assert "task sums:2 has no checker of reasoning: give soundness=steps" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give a run directory"),
        (["nowhere"], "no such directory"),
        (["."], "holds no samples"),
        ([".", "soundness=stepz"], "did you mean steps?"),
        ([".", "soundness=none"], "give a checker"),
    ],
)
def test_mistakes(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert sound.main(arguments) == 2
    assert said in capsys.readouterr().err
