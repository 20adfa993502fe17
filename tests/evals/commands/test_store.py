"""python -m evals store: what is in the store, and its canonical export."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from evals.commands.store import main
from evals.records.store import SampleKey, SampleSet


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[SampleSet]:
    monkeypatch.setenv("RLVR_STORE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    made = []
    for weights, order in (("aaaa", (0, 1, 2)), ("bbbb", (2, 0, 1))):
        made.append(SampleSet(tmp_path, SampleKey(weights, "t", "plain", 0.6, 0.95, 8, "hf", "float32", 0)))
        for index in order:
            made[-1].append([row(index)])
    return made


def row(index: int) -> dict[str, object]:
    return {"prompt": "p", "index": index, "problem": "0", "seed": index, "token_ids": [1, 2], "tokens": 2,
            "digest": "d", "logprob": -0.5, "text": f"{index}", "finish_reason": "stop"}  # fmt: skip


def test_it_lists_the_sets(sets: list[SampleSet], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    for each in sets:
        (line,) = [text for text in shown.splitlines() if each.directory.name[:8] in text]
        assert each.key.weights in line and " 3 " in line


def test_the_export_does_not_depend_on_how_samples_came(sets: list[SampleSet], tmp_path: Path) -> None:
    files = [tmp_path / f"{each.key.weights}.parquet" for each in sets]
    for each, file in zip(sets, files, strict=True):
        assert main([f"set={each.directory.name[:6]}", f"out={file}"]) == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    assert pq.read_table(files[0])["index"].to_pylist() == [0, 1, 2]


@pytest.mark.parametrize("arguments", [["set=none", "out=x.parquet"], ["set=a"], ["out=x"], ["sets=a"]])
def test_mistakes_are_named(
    sets: list[SampleSet], arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert arguments[0].partition("=")[0] in capsys.readouterr().err


@pytest.mark.parametrize("digits", ["92969606", "33422e12"])
def test_an_id_of_digits_is_no_number(
    sets: list[SampleSet], digits: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([f"set={digits}", "out=x.parquet"]) == 2
    assert f"'{digits}'" in capsys.readouterr().err
