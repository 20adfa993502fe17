"""The compare page's first table as files, and its finding in one sentence."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from run_directories import BASE, POLICY, N, write_run

from evals.commands import compare as command
from evals.reports.compare.arms import make_study
from evals.reports.compare.loading import read_runs
from evals.reports.compare.page import finding, study_rows

# Means over problems: pass@1 is the share of right samples, pass@8 of solved problems.
AT_1 = {"Base": sum(BASE) / N / len(BASE), "GRPO": sum(POLICY) / N / len(POLICY)}
AT_8 = {"Base": 4 / 6, "GRPO": 4 / 6}


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "write", lambda panel, out: "<svg></svg>")
    write_run(tmp_path / "a_100%", "recipe=grpo_tiny")
    assert command.main(["a_100%", "out=report"]) == 0
    return tmp_path / "report"


def test_csv_and_json_have_the_numbers_of_the_page(out: Path) -> None:
    with open(out / "study.csv", newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    told = {row["name"]: row for row in json.loads((out / "study.json").read_text())["rows"]}
    assert rows.keys() == told.keys() == {"Base", "GRPO"}
    for name in rows:
        assert float(rows[name]["pass_at_1"]) == told[name]["pass_at_1"] == pytest.approx(AT_1[name])
        assert told[name]["pass_at_k"] == pytest.approx(AT_8[name]) and told[name]["k"] == 8
        assert told[name]["gap"] == pytest.approx(AT_8["Base"] - AT_1[name])
        assert told[name]["gap_low"] <= told[name]["gap"] <= told[name]["gap_high"]
        assert told[name]["pass_at_1_seeds"] == [told[name]["pass_at_1"]]
        assert rows[name]["sound_pass_at_1"] == "" and told[name]["sound_pass_at_1"] is None
    closed = (AT_1["GRPO"] - AT_1["Base"]) / (AT_8["Base"] - AT_1["Base"])
    assert told["GRPO"]["closed"] == pytest.approx(closed)


def test_latex_is_a_tabular_of_booktabs(out: Path) -> None:
    text = (out / "study.tex").read_text()
    lines = text.splitlines()
    assert [line for line in lines if line in (r"\toprule", r"\midrule", r"\bottomrule")] == [
        r"\toprule", r"\midrule", r"\bottomrule",
    ]  # fmt: skip
    rows = [line for line in lines if line.startswith(("Base", "GRPO"))]
    assert [row.count("&") for row in rows] == [4, 4] and all(row.endswith(r"\\") for row in rows)
    assert f"GRPO & {100 * AT_1['GRPO']:.1f} " in rows[1] and rows[0].endswith(r"& -- \\")
    assert r"\begin{tabular}{lrrrr}" in text and "\N{MINUS SIGN}" not in text


def test_the_finding_says_how_far_and_at_what_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lost = [8, 0, 0, 8, 0, 8]
    write_run(tmp_path / "a", "recipe=grpo_tiny", policies={2: BASE, 4: POLICY})
    write_run(tmp_path / "b", "recipe=rloo_tiny", policies={2: BASE, 4: lost})
    study = make_study(read_runs([Path("a"), Path("b")]))
    said = finding(study_rows(study), study.tasks, study.k)
    assert said.startswith(f"On countdown:3, GRPO takes pass@1 from {100 * AT_1['Base']:.1f} to ")
    assert (
        "the farthest of 2 arms (whether they differ is said below); pass@8 goes from 66.7 to 66.7." in said
    )
