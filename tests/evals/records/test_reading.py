"""Stored measurements read back, and pairs that may not be compared."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from stored_files import write_jsonl, write_measured

from evals.records.conditions import ConditionsError
from evals.records.files import FileError
from evals.records.reading import read_comparable, read_stored, read_texts

RIGHT = {"a": "1", "b": "2"}
ANSWERS = {"a": ["1", "3", "1", None], "b": ["4", "4", "5", "2"]}


def test_samples_give_the_counts_again(tmp_path: Path) -> None:
    write_measured(tmp_path, ANSWERS, RIGHT)
    from_counts = read_stored(tmp_path / "sums-2.parquet")
    (tmp_path / "alone").mkdir()
    alone = tmp_path / "alone/sums-2.samples.parquet"
    (tmp_path / "sums-2.samples.parquet").rename(alone)
    from_samples = read_stored(alone)
    assert from_samples.problems == from_counts.problems == ("a", "b")
    assert from_samples.counts.correct.tolist() == from_counts.counts.correct.tolist() == [2, 1]
    assert from_counts.answers is None and from_samples.answers is not None
    assert from_samples.measured.conditions == from_counts.measured.conditions
    answers = from_samples.answers["b"]
    assert answers.extracted == ("4", "4", "5", "2") and answers.correct == (False, False, False, True)
    assert answers.tokens[0] == answers.tokens[1] != answers.tokens[2]
    assert from_samples.answers["a"].status[3] == "unparsed"


def test_when_sampling_stopped_is_read_from_the_counts_beside(tmp_path: Path) -> None:
    write_measured(tmp_path, {"a": ["3", "1"], "b": ["4"] * 8}, RIGHT, stop_r=1, n_max=8)
    samples = tmp_path / "sums-2.samples.parquet"
    assert read_stored(samples).counts.largest_k == 8
    (tmp_path / "sums-2.parquet").unlink()
    with pytest.raises(FileError, match="between 2 and 8 samples"):
        read_stored(samples)


def test_samples_that_say_otherwise_than_their_counts_are_refused(tmp_path: Path) -> None:
    write_measured(tmp_path, ANSWERS, RIGHT)
    write_measured(tmp_path / "other", ANSWERS, RIGHT | {"b": "4"})
    (tmp_path / "other/sums-2.parquet").replace(tmp_path / "sums-2.parquet")
    with pytest.raises(FileError, match=r"problem b: 1 of 4 samples are correct, sums-2.parquet says 2 of 4"):
        read_stored(tmp_path / "sums-2.samples.parquet")


def test_a_missing_sample_is_noticed(tmp_path: Path) -> None:
    write_measured(tmp_path, ANSWERS, RIGHT)
    file = tmp_path / "sums-2.samples.parquet"
    pq.write_table(pq.read_table(file).slice(1), file)
    with pytest.raises(FileError, match=r"problem a: sample indices are not 0..2"):
        read_stored(file)


def test_a_file_that_is_no_samples_file_is_named(tmp_path: Path) -> None:
    write_measured(tmp_path, ANSWERS, RIGHT)
    (tmp_path / "x.samples.parquet").write_bytes((tmp_path / "sums-2.parquet").read_bytes())
    with pytest.raises(FileError, match=r"x.samples.parquet has no column extracted, finish_reason, index"):
        read_stored(tmp_path / "x.samples.parquet")
    with pytest.raises(FileError, match=r"y.samples.parquet cannot be read"):
        read_stored(tmp_path / "y.samples.parquet")


def test_the_policy_is_put_in_the_bases_order(tmp_path: Path) -> None:
    write_jsonl(
        tmp_path / "base.jsonl", [{"problem": p, "n": 4, "correct": c} for p, c in [("a", 1), ("b", 2)]]
    )
    write_jsonl(
        tmp_path / "rl.jsonl", [{"problem": p, "n": 4, "correct": c} for p, c in [("b", 3), ("a", 0)]]
    )
    base, policy = read_comparable(tmp_path / "base.jsonl", tmp_path / "rl.jsonl")
    assert base.problems == policy.problems == ("a", "b")
    assert policy.counts.correct.tolist() == [0, 3]


def test_other_conditions_are_refused_each_by_name(tmp_path: Path) -> None:
    write_measured(tmp_path / "base", ANSWERS, RIGHT)
    write_measured(tmp_path, ANSWERS, RIGHT, template="boxed", temperature=1.0)
    with pytest.raises(ConditionsError, match=r"template: plain / boxed; temperature: 0.6 / 1.0"):
        read_comparable(tmp_path / "base/sums-2.parquet", tmp_path / "sums-2.parquet")


def test_other_problems_are_refused_where_no_conditions_say_so(tmp_path: Path) -> None:
    for name, problems in (("base", "ab"), ("rl", "ac")):
        write_jsonl(tmp_path / f"{name}.jsonl", [{"problem": p, "n": 4, "correct": 1} for p in problems])
    with pytest.raises(ConditionsError, match=r"2 problem\(s\) stand in one file alone \(b, c\)"):
        read_comparable(tmp_path / "base.jsonl", tmp_path / "rl.jsonl")


def test_texts_of_some_problems(tmp_path: Path) -> None:
    write_measured(tmp_path, ANSWERS, RIGHT)
    file = tmp_path / "sums-2.samples.parquet"
    texts = read_texts(file, ["b"])
    assert [t.text for t in texts["b"]] == ["it is 4", "it is 4", "it is 5", "it is 2"] and texts.keys() == {
        "b"
    }
    assert read_texts(file, []) == {}
    with pytest.raises(FileError, match="holds no samples of z"):
        read_texts(file, ["z"])
