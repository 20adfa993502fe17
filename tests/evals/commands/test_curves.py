"""`python -m evals curves`: pass@k with its band, and files that must not share a figure."""

from __future__ import annotations

import json
from dataclasses import replace
from math import comb
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evals.commands import curves
from evals.estimators.counts import Counts
from evals.records.conditions import Conditions
from evals.records.files import COUNTS, Origin, stamped

CONDITIONS = Conditions("countdown:3", "abc", "plain", "exact-1", 0.6, 0.95, 64)
ORIGIN = Origin("w", "t", "hf", "float32", 0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_jsonl(path: Path, correct: list[int], n: int = 8) -> None:
    rows = [{"problem": str(i), "n": n, "correct": c} for i, c in enumerate(correct)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_parquet(path: Path, correct: list[int], conditions: Conditions, n: int = 8) -> None:
    path.parent.mkdir(exist_ok=True)
    rows = [{"problem": str(i), "n": n, "correct": c} for i, c in enumerate(correct)]
    pq.write_table(pa.Table.from_pylist(rows, stamped(COUNTS, conditions, ORIGIN)), path)


def test_a_curve_is_the_mean_over_problems_with_a_band_around_it() -> None:
    correct, n = [0, 1, 4, 8], 8
    curve = curves.pass_at_k_curve("x", Counts(n, correct))
    assert curve.ks == [1, 2, 4, 8]
    by_hand = [100 * np.mean([1 - comb(n - c, k) / comb(n, k) for c in correct]) for k in curve.ks]
    np.testing.assert_allclose(curve.mean, by_hand)
    assert (curve.low < curve.mean).all() and (curve.mean < curve.high).all()


def test_it_draws_files_of_both_kinds(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_parquet(folder / "run" / "countdown-3.parquet", [0, 3, 8], CONDITIONS)
    write_jsonl(folder / "other.jsonl", [1, 1, 2])
    assert curves.main(["run/countdown-3.parquet", "other.jsonl", "out=c.svg", "theme=dark"]) == 0
    assert capsys.readouterr().out.startswith("wrote c.svg\n! 3 problems: intervals over fewer than 50")
    svg = (folder / "c.svg").read_text()
    for text in ("countdown-3", "other", "countdown:3", "3 problems, temperature 0.6, top-p 0.95"):
        assert f">{text}" in svg


def test_labels_are_those_given(folder: Path) -> None:
    write_jsonl(folder / "a.jsonl", [1])
    assert curves.main(["a.jsonl", "out=c.svg", "labels=1.5B base"]) == 0
    assert ">1.5B base<" in (folder / "c.svg").read_text()


def test_other_conditions_are_refused_unless_they_may_differ(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_parquet(folder / "a.parquet", [0, 3], CONDITIONS)
    write_parquet(folder / "b.parquet", [0, 3], replace(CONDITIONS, temperature=1.1, template="boxed"))
    command = ["a.parquet", "b.parquet", "out=c.png"]
    assert curves.main([*command, "allow=template"]) == 2
    error = capsys.readouterr().err
    assert "temperature" in error and "1.1: b.parquet" in error and "boxed" not in error
    assert not (folder / "c.png").exists()
    assert curves.main([*command, "allow=temperature,template"]) == 0
    assert (folder / "c.png").read_bytes().startswith(b"\x89PNG")


def test_other_problems_are_refused_unless_they_may_differ(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_jsonl(folder / "a.jsonl", [0, 3])
    write_jsonl(folder / "b.jsonl", [0, 3, 4])
    assert curves.main(["a.jsonl", "b.jsonl", "out=c.png"]) == 2
    assert "problems\n      2: a.jsonl\n      3: b.jsonl" in capsys.readouterr().err
    assert curves.main(["a.jsonl", "b.jsonl", "out=c.png", "allow=data"]) == 0


def test_labels_by_default_tell_the_files_apart() -> None:
    files = [Path("r/base/math500.parquet"), Path("r/step_000050/math500.parquet")]
    assert curves.default_labels(files) == ["base/math500", "step_000050/math500"]
    assert curves.default_labels([Path("a/x.jsonl"), Path("b/y.jsonl")]) == ["x", "y"]
    assert curves.default_labels([Path("x.jsonl"), Path("a/x.jsonl")]) == ["x", "a/x"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "out\n      is missing"),
        (["out=c.png"], "give at least one counts file"),
        (["absent.jsonl", "out=c.png"], "absent.jsonl\n      there is no such file"),
        (["a.jsonl", "out=c.png", "labels=a,b"], "give one a file, 1 in all"),
        (["a.jsonl", "out=c.png", "allow=temprature"], "did you mean temperature?"),
        (["a.jsonl", "out=c.gif"], "the name ends in one of .png, .svg, .pdf"),
        (["a.jsonl", "out=absent/c.png"], "there is no directory absent"),
        (["a.jsonl", "out=c.png", "lables=x"], "unknown key; did you mean labels?"),
        (["bad.jsonl", "out=c.png"], "bad.jsonl, line 1: not JSON"),
    ],
)
def test_wrong_arguments(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    write_jsonl(folder / "a.jsonl", [1])
    (folder / "bad.jsonl").write_text("{\n")
    assert curves.main(arguments) == 2
    assert complaint in capsys.readouterr().err
