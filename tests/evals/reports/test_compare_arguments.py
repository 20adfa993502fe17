"""`python -m evals compare`: wrong arguments and directories, all named before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_directories import write_run

from evals.commands import compare as command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["out=report"], "give at least one run directory"),
        (["a"], "out\n      is missing"),
        (["a", "absent", "out=report"], "absent\n      there is no such directory"),
        (["a", "a/", "out=report"], "give each run once"),
        (["a", "empty", "out=report"], "empty\n      is no run directory: there is no config.json"),
        (["a", "unprobed", "out=report"], "unprobed\n      no checkpoint was probed on all tasks"),
        (["a", "k16", "out=report"], "the gap is measured at one K, these runs have [8, 16]"),
        (["a", "lost", "out=report"], "countdown-3.parquet cannot be read"),
        (["a", "torn", "out=report"], "card.json is not whole"),
        (["a", "broken", "out=report"], "its config.json cannot be read by this version"),
        (["a", "swapped", "out=report"], "is of the weights policy-4, and probe.jsonl says policy-2"),
        (["a", "mixed", "out=report"], "base and policy cannot be compared: template: plain / boxed"),
        (["a", "out=a"], "is one of the runs"),
        (["a", "out=absent/report"], "there is no directory absent"),
        (["a", "out=report", "ouput=x"], "unknown key; did you mean out?"),
    ],
)
def test_wrong_arguments(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    write_run(folder / "a", "recipe=grpo_tiny")
    (folder / "empty").mkdir()
    (write_run(folder / "unprobed", "recipe=rloo_tiny") / "probe.jsonl").unlink()
    write_run(folder / "k16", "recipe=rloo_tiny", "probe.k=16")
    lost = write_run(folder / "lost", "recipe=rloo_tiny")
    (lost / "probes" / "step_000004" / "countdown-3.parquet").unlink()
    broken = write_run(folder / "broken", "recipe=rloo_tiny") / "config.json"
    broken.write_text(broken.read_text().replace('"steps": 4', '"steps": "many"'))
    (write_run(folder / "torn", "recipe=rloo_tiny") / "card.json").write_text('{"git": ')
    probes = write_run(folder / "swapped", "recipe=rloo_tiny", hashes=True) / "probes"
    (probes / "step_000002").rename(probes / "x")
    (probes / "step_000004").rename(probes / "step_000002")
    (probes / "x").rename(probes / "step_000004")
    mixed = write_run(folder / "mixed", "recipe=rloo_tiny", template="boxed")
    source = folder / "a" / "probes" / "base" / "countdown-3.parquet"
    (mixed / "probes" / "base" / "countdown-3.parquet").write_bytes(source.read_bytes())
    assert command.main(arguments) == 2
    assert complaint in capsys.readouterr().err
    assert not (folder / "report").exists()


def test_all_mistakes_are_named_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "empty").mkdir()
    (write_run(folder / "unprobed", "recipe=rloo_tiny") / "probe.jsonl").unlink()
    assert command.main(["empty", "unprobed", "out=report"]) == 2
    assert "2 mistakes" in capsys.readouterr().err


def test_arms_that_differ_in_a_long_setting_are_named_after_their_recipes(folder: Path) -> None:
    """Such a value is no name, of an arm or of a file."""
    several = "probe.tasks=[countdown:3, countdown:4, {name: countdown:3, split: train}]"
    write_run(folder / "a", "recipe=grpo_tiny")
    write_run(folder / "b", "recipe=grpo_sound_tiny", several)
    assert command.main(["a", "b", "out=report"]) == 0
    assert (folder / "report" / "histogram-countdown-3-1-grpo_sound.png").is_file()
