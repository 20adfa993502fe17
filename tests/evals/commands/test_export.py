"""`python -m evals export samples`: runs that need no store."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from measuring import KEY, PLAN, TASK, Counting, measure

from evals.commands.export import main
from evals.records.files import counts_file, samples_file
from evals.records.reading import read_stored, read_texts
from evals.records.samples import read_samples, sample_files
from evals.records.store import SampleSet
from rlvr.core.shards import store_root

# Of a completion, what the store alone has.
TEXTS = ("text", "token_ids")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory of a base and one step, which measured the same samples."""
    run = tmp_path / "run"
    measuring = measure(replace(PLAN, n=4), Counting(), store_root())
    for folder in ("base", "step_000010"):
        measuring.counted().write(run / "probes" / folder, measuring.samples)
    (run / "checkpoints" / "step_000010").mkdir(parents=True)
    (run / "config.json").write_text("{}")
    return run


def texts(run: Path) -> list[object]:
    return [read_samples(file, ["problem", "index", *TEXTS]).to_pylist() for _, file in sample_files(run)]


def test_a_run_is_made_independent_of_the_store(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = [[{k: row[k] for k in ("index", *TEXTS)} for row in rows] for rows in texts(run)]
    left = samples_file(run / "probes" / "base", TASK.name).with_name(
        f".{TASK.name}.samples.parquet.0123abcd"
    )
    left.write_bytes(b"of one that was killed")
    assert main(["samples", str(run)]) == 0
    assert not left.exists()
    assert "2 of 2 files of samples were written" in capsys.readouterr().out
    shutil.rmtree(store_root())
    assert [[{k: row[k] for k in ("index", *TEXTS)} for row in rows] for rows in texts(run)] == before
    assert main(["samples", str(run)]) == 0 and "0 of 2" in capsys.readouterr().out


def test_out_gets_what_was_measured_and_the_run_stays_as_it_is(run: Path, tmp_path: Path) -> None:
    files = [file.read_bytes() for _, file in sample_files(run)]
    assert main(["samples", str(run), f"out={tmp_path / 'portable'}"]) == 0
    assert [file.read_bytes() for _, file in sample_files(run)] == files
    shutil.rmtree(store_root())
    copy = tmp_path / "portable" / "run"
    assert {path.name for path in copy.iterdir()} == {"config.json", "probes"}
    step = copy / "probes" / "step_000010"
    assert read_stored(samples_file(step, TASK.name)).counts.samples == 20
    assert len(read_texts(samples_file(step, TASK.name), ["0"])["0"]) == 4
    assert counts_file(step, TASK.name).exists()


def test_a_single_file(run: Path, tmp_path: Path) -> None:
    file = samples_file(run / "probes" / "base", TASK.name)
    assert main(["samples", str(file), f"out={tmp_path / 'one'}"]) == 0
    assert {path.name for path in (tmp_path / "one").iterdir()} == {file.name, "toy-x.parquet"}
    assert {*TEXTS} <= {*pq.read_schema(tmp_path / "one" / file.name).names}


def test_samples_that_are_gone_end_it_and_change_nothing(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(SampleSet(store_root(), KEY).directory)
    files = [file.read_bytes() for _, file in sample_files(run)]
    assert main(["samples", str(run)]) == 2
    assert f"20 of 20 samples are not in set {KEY.digest()}" in capsys.readouterr().err
    assert [file.read_bytes() for _, file in sample_files(run)] == files


def test_mistakes_are_named(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "portable" / "run").mkdir(parents=True)
    for arguments, said in (
        ([], "give a run directory"),
        (["nowhere"], "there is no such directory"),
        ([str(tmp_path / "empty")], "holds no samples"),
        ([str(run), f"out={tmp_path / 'portable'}"], "is there already"),
        ([str(run), str(run), f"out={tmp_path / 'new'}"], "two runs have one name"),
    ):
        assert main(["samples", *arguments]) == 2
        assert said in capsys.readouterr().err
