"""The compare page where a checker looked at the reasoning: by hand, beside runs that nobody looked at."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_directories import POLICY, N, write_run

from evals.commands import compare as command
from evals.reports.compare import differences, numbers
from evals.reports.compare.arms import Study, make_study
from evals.reports.compare.flags import flags
from evals.reports.compare.loading import read_runs


def study_of(folder: Path, *checkers: str | None) -> Study:
    """GRPO and RLOO, looked at by these; half of their right answers are sound."""
    recipes = ("grpo_tiny", "rloo_tiny")
    paths = [
        write_run(folder / recipe, f"recipe={recipe}", soundness=checker)
        for recipe, checker in zip(recipes, checkers, strict=False)
    ]
    return make_study(read_runs(paths))


def test_sound_cells_by_hand(tmp_path: Path) -> None:
    (arm,) = study_of(tmp_path, "steps-1").arms
    cells = numbers.cells(arm.bases("countdown:3"), arm.policies("countdown:3"), N)
    assert cells.sound is not None and cells.sound.unsound is not None
    sound = [c // 2 for c in POLICY]
    assert cells.sound.at_1.value == pytest.approx(sum(sound) / N / len(POLICY))
    assert cells.sound.unsound.value == pytest.approx(1 - sum(sound) / sum(POLICY))


def test_nothing_is_said_where_nobody_looked(tmp_path: Path) -> None:
    study = study_of(tmp_path, None)
    (arm,) = study.arms
    assert numbers.cells(arm.bases("countdown:3"), arm.policies("countdown:3"), N).sound is None
    assert not differences.is_checked(study) and not any("wrong step" in flag.text for flag in flags(study))


@pytest.mark.parametrize("other", [None, "steps-2"])
def test_runs_that_were_not_looked_at_alike_are_not_held_together(tmp_path: Path, other: str | None) -> None:
    study = study_of(tmp_path, "steps-1", other)
    (pair,) = differences.pairs(study)["countdown:3"]
    by_name = {d.measure: d for d in pair.comparisons}
    assert by_name["pass@1"].estimate is not None
    assert by_name["sound pass@1"].estimate is None and not by_name["sound pass@1"].apart
    assert any(flag.text.startswith("Different checker of reasoning") for flag in flags(study))


def test_the_page_shows_both_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runs = [
        str(write_run(Path(recipe), f"recipe={recipe}", soundness="steps-1"))
        for recipe in ("grpo_tiny", "rloo_tiny")
    ]
    assert command.main([*runs, "out=report"]) == 0
    page = Path("report/index.html").read_text()
    assert "<th>sound pass@1</th>" in page and "Without a wrong step" in page
    assert "reasoning by steps-1" in page
    assert Path("report/sound_at_k-countdown-3.png").is_file()
    (pair,) = differences.pairs(make_study(read_runs([Path(run) for run in runs])))["countdown:3"]
    assert [d.measure for d in pair.comparisons] == [
        "pass@1",
        "pass@8",
        "gap",
        "sound pass@1",
        "sound pass@8",
    ]
    assert all(d.estimate is not None for d in pair.comparisons)
