"""`python -m evals ledger`: what a run gained and lost, problem by problem."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from scipy import stats
from stored_files import write_measured

from evals.commands.problems import ledger
from evals.estimators.empirical_bayes import fit_beta
from evals.records.files import read_counts
from evals.reports.transcripts import _inline, transcript_name

RIGHT = {"a/b": "1", "b": "2", "c": "3", "d": "4"}
BASE = {"a/b": ["7", "7", "7", "7"], "b": ["4", "2", "5", "2"], "c": ["3"] * 4, "d": ["0"] * 4}
POLICY = {"a/b": ["7", "1", "1", None], "b": [None, "4", "4", "4"], "c": ["5", "5", "3", "3"], "d": ["0"] * 4}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory with a base and two probes, of which the second gained and lost a problem."""
    write_measured(tmp_path / "run/probes/base", BASE, RIGHT)
    write_measured(tmp_path / "run/probes/step_000000", BASE, RIGHT)
    write_measured(tmp_path / "run/probes/step_000010", POLICY, RIGHT)
    return tmp_path / "run"


def test_the_last_probe_is_held_against_the_base(run: Path) -> None:
    command = [sys.executable, "-m", "evals", "ledger", str(run)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in shown.splitlines()]
    for row in (["gained", "1"], ["lost", "1"], ["both", "1"], ["neither", "1"], ["McNemar's", "p", "1"]):
        assert row in rows
    assert ["a/b", "gained", "0/4", "2/4"] in [row[:4] for row in rows]
    assert ["b", "lost", "2/4", "0/4"] in [row[:4] for row in rows]


def test_out_gets_every_problem_and_the_transcripts(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert ledger.main([str(run), "task=sums:2", "step=10", f"out={out}"]) == 0
    rows = {row["problem"]: row for row in map(json.loads, (out / "ledger.jsonl").read_text().splitlines())}
    assert {p: row["outcome"] for p, row in rows.items()} == {
        "a/b": "gained", "b": "lost", "c": "both", "d": "neither",
    }  # fmt: skip
    assert rows["c"]["transcript"] is rows["c"]["bound"] is None
    base = fit_beta(read_counts(run / "probes/base/sums-2.parquet").counts)
    assert rows["a/b"]["bound"] == pytest.approx(stats.beta.ppf(0.95, base.a, base.b + 4))
    missed = stats.betabinom.pmf(0, 4, base.a, base.b + 4)
    assert rows["a/b"]["chance"] == pytest.approx(1 - missed)
    gained = (out / rows["a/b"]["transcript"]).read_text()
    assert "What is a/b?" in gained and '"1"' in gained
    assert "## Policy, sample 1 of 4: correct" in gained and "## Base, sample 0 of 4: wrong" in gained
    lost = (out / rows["b"]["transcript"]).read_text()
    assert lost.index("## Base, sample 1 of 4: correct") < lost.index("## Policy, sample 0 of 4: unparsed")
    assert "no answer found, cut at the token limit" in lost
    assert {path.name for path in (out / "transcripts").iterdir()} == {
        Path(rows[p]["transcript"]).name for p in ("a/b", "b")
    }


def test_the_directory_of_a_measured_pair(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(run / "probes/step_000010", tmp_path / "pair")
    shutil.copytree(run / "probes/base", tmp_path / "pair/base")
    assert ledger.main([str(tmp_path / "pair")]) == 0
    assert ["gained", "1"] in [line.split() for line in capsys.readouterr().out.splitlines()]


def test_a_newer_probe_that_has_not_got_to_the_task_is_passed_over(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    step = run / "probes" / "step_000020"
    step.mkdir()
    shutil.copy(run / "probes/step_000010/sums-2.parquet", step / "other-1.parquet")
    assert ledger.main([str(run), "task=sums:2"]) == 0
    assert "gained" in capsys.readouterr().out


def test_an_earlier_step(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ledger.main([str(run), "step=0"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["gained", "0"] in rows and ["lost", "0"] in rows and ["both", "2"] in rows


def test_unequal_draws_give_expected_numbers_and_no_ledger_file(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = {problem: given[:2] for problem, given in POLICY.items()}
    write_measured(run / "probes/step_000020", few, RIGHT)
    assert ledger.main([str(run)]) == 0
    shown = capsys.readouterr().out
    # in 2 draws: a/b 1 - 0, b 5/6 - 0, c base 1 and policy 0, d 0: gained 1, lost 5/6 + 1
    rows = [line.split() for line in shown.splitlines()]
    assert (
        ["gained", "1.0"] in rows
        and ["lost", "1.8"] in rows
        and "no single problem" in " ".join(shown.split())
    )
    assert ledger.main([str(run), f"out={tmp_path / 'out'}"]) == 2
    assert "measure both with the same n" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_without_samples_there_are_no_transcripts(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "probes/base/sums-2.samples.parquet").unlink()
    assert ledger.main([str(run)]) == 0
    capsys.readouterr()
    assert ledger.main([str(run), f"out={tmp_path / 'out'}"]) == 2
    assert "sums-2.samples.parquet cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_other_conditions_are_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_measured(run / "probes/step_000020", POLICY, RIGHT, top_p=1.0)
    assert ledger.main([str(run)]) == 2
    assert "top_p: 0.95 / 1.0" in capsys.readouterr().err


def test_every_mistake_is_named_at_once(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ledger.main([str(run), "step=5", "task=prods", f"out={run}"]) == 2
    shown = capsys.readouterr().err
    assert "3 mistakes" in shown and "steps: 0, 10" in shown and "those measured: sums-2" in shown
    assert ledger.main([str(run / "nowhere")]) == 2
    assert "holds no measurement" in capsys.readouterr().err
    shutil.rmtree(run / "probes/base")
    assert ledger.main([str(run)]) == 2
    assert "holds no measurement of the base" in capsys.readouterr().err


def test_two_tasks_ask_which(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_measured(run / "probes/step_000010", POLICY, RIGHT, task="sums:3")
    assert ledger.main([str(run)]) == 2
    assert "give one of those measured: sums-2, sums-3" in capsys.readouterr().err


def test_ids_become_safe_names_that_differ() -> None:
    ids = [
        "7",
        "test/7.json",
        "test_7_json",
        "../../etc/passwd",
        "A",
        "a",
        "é",
        "",
        "x" * 300,
        "x" * 301,
        ".hidden",
    ]
    names = [transcript_name(problem) for problem in ids]
    assert names[0] == "7.md" and len(set(map(str.lower, names))) == len(ids)
    for name in names:
        assert Path(name).name == name and not name.startswith("..") and len(name) < 100


def test_a_text_cannot_close_its_code_block(run: Path, tmp_path: Path) -> None:
    fences = {problem: [f"```{a}````" if a else a for a in given] for problem, given in POLICY.items()}
    right = {problem: f"```{a}````" for problem, a in RIGHT.items()}
    write_measured(tmp_path / "pair", fences, right)
    write_measured(tmp_path / "pair/base", BASE, right)
    assert ledger.main([str(tmp_path / "pair"), f"out={tmp_path / 'out'}"]) == 0
    text = (tmp_path / "out/transcripts" / transcript_name("a/b")).read_text()
    assert "`````text\nit is ```1````\n`````\n" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("test/3", "test/3"),
        ("'1 + 2'", "'1 + 2'"),
        ("<script>x</script>", "` <script>x</script> `"),
        ("a`b``c*", "``` a`b``c* ```"),
        ("two\n# lines", "` two # lines `"),
    ],
)
def test_what_stands_outside_a_fence_is_no_markup(text: str, shown: str) -> None:
    assert _inline(text) == shown
