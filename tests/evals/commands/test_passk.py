"""`python -m evals passk`: every number from files alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stored_files import write_jsonl, write_measured

from evals.commands import passk
from evals.estimators.counts import Counts
from evals.estimators.intervals.means import SHARE, mean_interval
from evals.records.files import FileError, read_counts

RIGHT = {"a": "1", "b": "2", "c": "3"}
BASE = {"a": ["1", "3", "4", None], "b": ["4", "2", "5", "2"], "c": ["5"] * 4}
POLICY = {"a": ["1", "1", "1", None], "b": ["4", "4", "4", "4"], "c": ["5", "5", "3", "3"]}


def computed(path: Path, *arguments: str) -> dict[str, Any]:
    out = path / "out.json"
    assert passk.main([*arguments, f"out={out}"]) == 0
    return dict(json.loads(out.read_text()))


def test_jsonl_and_parquet_give_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"problem": i, "n": 16, "correct": c} for i, c in enumerate([0, 3, 16, 7])]
    write_jsonl(tmp_path / "x.jsonl", rows)
    pq.write_table(
        pa.Table.from_pylist([row | {"problem": str(row["problem"])} for row in rows]), tmp_path / "x.parquet"
    )
    results, shown = [], []
    for name in ("x.jsonl", "x.parquet"):
        results.append(computed(tmp_path, str(tmp_path / name), "k=32"))
        shown.append(capsys.readouterr().out)
    assert results[0] == results[1] and shown[0] == shown[1]
    made = results[0]["measured"]
    counts = Counts(16, [0, 3, 16, 7])
    assert made["ks"] == [1, 2, 4, 8, 16, 32]
    assert made["pass_at_k"][:5] == pytest.approx([counts.pass_at_k(k).mean() for k in made["ks"][:5]])
    assert made["pass_at_k"][5] is None and made["all_correct_at_k"][5] is None
    assert made["pass_at_k_intervals"]["new_problems"][2] == pytest.approx(
        list(mean_interval(counts.pass_at_k(4), SHARE))
    )
    assert made["accuracy_histogram"]["1"] == 1 and made["accuracy_histogram"]["(0.4, 0.5]"] == 1
    assert made["cover"]["0.25"] == 0.5 and made["g_pass"]["k"] == 16
    assert made["answers"] is None and results[0]["comparison"] is None


def test_the_command_line(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "x.jsonl", [{"problem": "a", "n": 4, "correct": 1}])
    command = [sys.executable, "-m", "evals", "passk", str(tmp_path / "x.jsonl"), "k=8"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split()[:3] for line in shown.splitlines()]
    assert ["1", "25.0", "25.0"] in rows and ["2", "50.0", "0.0"] in rows and ["8", "-", "-"] in rows


def test_samples_also_give_votes_and_variety(tmp_path: Path) -> None:
    write_measured(tmp_path, POLICY, RIGHT)
    answers = computed(tmp_path, str(tmp_path / "sums-2.samples.parquet"), "k=4")["measured"]["answers"]
    # all four samples: "1" wins, "4" wins, "5" and "3" draw lots
    assert answers["majority_at_k"][2] == pytest.approx((1 + 0 + 1 / 2) / 3)
    assert answers["majority_at_k"][0] == pytest.approx(5 / 12)
    assert answers["unique_at_k"][2] == pytest.approx((1 + 1 + 2) / 3)
    assert answers["answer_entropy"] == pytest.approx(np.log(2) / 3)
    assert answers["duplicates"] == pytest.approx((2 / 4 + 3 / 4 + 2 / 4) / 3)
    assert answers["truncated"] == answers["unparsed"] == pytest.approx(1 / 12) and answers["timed_out"] == 0
    # of the other problems' 8 samples none is "1"; none "2"; none "3"
    assert answers["guess_rate"] == 0 and answers["pass_at_k_above_guessing"][0] == pytest.approx(5 / 12)


def test_a_reference_is_a_right_answer_though_no_sample_gave_it(tmp_path: Path) -> None:
    write_measured(tmp_path, BASE, RIGHT)
    answers = computed(tmp_path, str(tmp_path / "sums-2.samples.parquet"), "k=4")["measured"]["answers"]
    # "3" stands once among the 8 samples of a and b
    assert answers["guess_rate"] == pytest.approx((0 + 0 + 1 / 8) / 3)


def test_a_pair_by_hand(tmp_path: Path) -> None:
    write_measured(tmp_path / "base", BASE, RIGHT)
    write_measured(tmp_path, POLICY, RIGHT)
    found = computed(
        tmp_path, str(tmp_path / "sums-2.parquet"), f"base={tmp_path / 'base/sums-2.parquet'}", "k=4"
    )["comparison"]
    assert found["gap"]["value"] == pytest.approx(2 / 3 - 5 / 12)
    assert found["pass_at_1_change"]["value"] == pytest.approx(5 / 12 - 3 / 12)
    assert found["closed_fraction"] == pytest.approx((2 / 12) / (2 / 3 - 3 / 12))
    assert found["ledger"] == {"gained": 1, "lost": 1, "both": 1, "neither": 0}
    assert found["mcnemar_p"] == 1.0
    assert found["support"] == pytest.approx({"srr": 1 / 2, "ndr": 1 / 2, "sds": 1 / 2, "nscr": 0})
    assert found["crossover"]["k"] == 4  # base 25.0, 44.4, 66.7; policy 41.7, 61.1, 66.7
    assert found["crossover"]["low"] == 1 and found["crossover"]["k_max"] == 4


def test_what_an_interval_cannot_be_relied_on_for_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of 20 problems 3 are lost at k = n and 2 gained, so that many resamples have no crossing."""
    for name, correct in (("b", [1] * 11 + [0] * 9), ("p", [6] * 8 + [0] * 3 + [6] * 2 + [0] * 7)):
        rows = [{"problem": i, "n": 8, "correct": c} for i, c in enumerate(correct)]
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
    made = computed(tmp_path, str(tmp_path / "p.jsonl"), f"base={tmp_path}/b.jsonl", "k=8")
    shown = capsys.readouterr().out
    without = made["comparison"]["crossover"]["share_without"]
    assert 0.05 < without < 0.6 and f"none in {without:.0%}" in shown
    assert "! 20 problems: intervals over fewer than 50 are rough" in shown
    low, high = made["measured"]["saturation"]["next_gain"]["interval"]
    assert f"[{100 * low:+.1f}, {100 * high:+.1f}]" in shown


def test_unequal_n_give_an_expected_ledger_alone_and_no_gap_beyond_n(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "base.jsonl", [{"problem": "a", "n": 8, "correct": 2}])
    write_jsonl(tmp_path / "rl.jsonl", [{"problem": "a", "n": 4, "correct": 2}])
    found = computed(tmp_path, str(tmp_path / "rl.jsonl"), f"base={tmp_path / 'base.jsonl'}", "k=16")[
        "comparison"
    ]
    assert found["gap"] is found["closed_fraction"] is found["ledger"] is found["support"] is None
    assert found["common_k"] == 4
    # base pass@4 = 1 - C(6, 4) / C(8, 4) = 55 / 70, policy pass@4 = 1
    assert found["expected_ledger"]["gained"] == pytest.approx(15 / 70)


def test_a_range_of_n_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"problem": str(n), "n": n, "correct": 1} for n in (4, 9, 6)]
    write_jsonl(tmp_path / "x.jsonl", rows)
    made = computed(tmp_path, str(tmp_path / "x.jsonl"))
    assert (made["measured"]["n"], made["measured"]["most_n"]) == (4, 9)
    assert "3 problems, n = 4 to 9" in capsys.readouterr().out


@pytest.mark.parametrize(
    "row",
    [
        {"n": 4, "correct": 1, "stop_r": "2"},
        {"n": 4, "correct": 1, "stop_r": [2]},
        {"n": 4, "correct": 1, "n_max": float("nan")},
        {"n": 10**20, "correct": 1},
        {"n": 4.0, "correct": 1},
    ],
)
def test_counts_that_are_none_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], row: dict[str, Any]
) -> None:
    write_jsonl(tmp_path / "x.jsonl", [{"problem": "a", **row}])
    assert passk.main([str(tmp_path / "x.jsonl")]) == 2
    assert "row 1" in capsys.readouterr().err


def test_lines_may_end_in_an_empty_one_and_hold_what_else_ends_lines(tmp_path: Path) -> None:
    row = {"problem": "a", "n": 4, "correct": 1, "prompt": "one\u2028two"}
    (tmp_path / "x.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n\n")
    assert read_counts(tmp_path / "x.jsonl").prompts == {"a": "one\u2028two"}
    (tmp_path / "y.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(FileError, match="cannot be read"):
        read_counts(tmp_path / "y.jsonl")


def test_sampling_that_stopped_gives_no_reliability(tmp_path: Path) -> None:
    write_measured(tmp_path, {"a": ["3", "1"], "b": ["4"] * 8}, RIGHT, stop_r=1, n_max=8)
    made = computed(tmp_path, str(tmp_path / "sums-2.samples.parquet"), "k=8")["measured"]
    assert made["pass_at_k"][-1] == pytest.approx(0.5)
    assert made["all_correct_at_k"] is made["accuracy_histogram"] is made["cover"] is None
    assert made["answers"]["majority_at_k"] is None and made["answers"]["duplicates"] > 0


def test_guessing_among_few_answers(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "x.jsonl", [{"problem": "a", "n": 4, "correct": 2}])
    made = computed(tmp_path, str(tmp_path / "x.jsonl"), "k=2", "answer_space=4")["measured"]
    assert made["pass_at_k_above_uniform_guessing"][:2] == pytest.approx([1 / 3, (5 / 6 - 7 / 16) / (9 / 16)])


def test_other_conditions_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_measured(tmp_path / "base", BASE, RIGHT)
    write_measured(tmp_path, POLICY, RIGHT, grader="lenient")
    status = passk.main([str(tmp_path / "sums-2.parquet"), f"base={tmp_path / 'base/sums-2.parquet'}"])
    shown = capsys.readouterr()
    assert status == 2 and "grader: exact-1 / lenient" in shown.err and shown.out == ""


def test_every_mistake_is_named_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert passk.main([str(tmp_path / "no.jsonl"), "base=none", f"out={tmp_path}/no/x.json"]) == 2
    shown = capsys.readouterr().err
    assert "3 mistakes" in shown and "no.jsonl" in shown and "there is no directory" in shown
    assert passk.main(["k=0", "bse=x"]) == 2
    shown = capsys.readouterr().err
    assert "3 mistakes" in shown and "did you mean base?" in shown and "file" in shown
    write_jsonl(tmp_path / "x.jsonl", [{"problem": "a", "n": 4, "correct": 1}])
    assert passk.main([str(tmp_path / "x.jsonl"), "stray"]) == 2
    assert "arguments are key=value" in capsys.readouterr().err
