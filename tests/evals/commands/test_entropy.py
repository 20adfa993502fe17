"""`python -m evals entropy`: a policy whose temperature is known is found out."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from evals.commands.controls import entropy
from evals.records.files import COUNTS, counts_file, read_about, read_counts, samples_file, stamped
from evals.sampling.instrument import Instrument, Subject
from evals.sampling.settings import ProbeConfig
from evals.sampling.temperature import output_entropy
from rlvr.core.checkpoint import config_hash, weight_hash
from rlvr.engines.hf import HFEngine
from rlvr.models.loading import eos_ids, load_model, load_tokenizer
from rlvr.tasks import build_task

TASK = "countdown:3"
SHARPER = 1.5


@pytest.fixture(scope="module")
def measured(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """base/: samples of the base at 0.6; policy/: the base with its logits times SHARPER, so that at SHARPER
    times a temperature it is the base at that temperature."""
    folder = tmp_path_factory.mktemp("entropy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLVR_STORE", str(folder / "store"))
        tokenizer = load_tokenizer(base)
        engine = HFEngine(load_model(base, "float32"), tokenizer, eos_ids(base, tokenizer))
        config = ProbeConfig(temperature=0.6, top_p=0.95, max_problems=12)
        instrument = Instrument(config, tokenizer, 64, Console(quiet=True))
        subject = Subject(weight_hash(base), config_hash(base), engine, "base")
        reading = instrument.measure(instrument.plan(build_task(TASK), 32), subject, "base")
        assert reading is not None
        reading.measurement.write(folder / "base", reading.samples)
    shutil.copytree(base, folder / "policy")
    policy = load_model(base, "float32")
    policy.model.norm.weight.data *= SHARPER
    policy.save_pretrained(folder / "policy")
    return folder


@pytest.fixture
def folder(measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return measured


def command(folder: Path, *more: str) -> list[str]:
    return [f"policy={folder}/policy", f"base={folder}/base", f"task={TASK}", "out=matched", *more]


def test_a_sharpened_base_is_matched_at_the_temperature_that_undoes_it(folder: Path) -> None:
    assert entropy.main(command(folder, "m=16", "n=20", "tolerance=0.03")) == 0
    found = json.loads(Path("matched/entropy.json").read_text())
    samples = pq.read_table(samples_file(folder / "base", TASK))
    assert found["base_entropy"] == output_entropy(samples["logprob"], samples["tokens"])
    assert found["temperature"] == pytest.approx(SHARPER * 0.6, rel=0.3)
    assert found["tried"][0][0] == 0.6 and found["tried"][0][1] < 0.9 * found["base_entropy"]
    here, there = (
        read_about(counts_file(Path("matched"), TASK)),
        read_about(counts_file(folder / "base", TASK)),
    )
    assert here[0] is not None and there[0] is not None and here[1] is not None
    assert here[0] == replace(there[0], temperature=found["temperature"])
    assert here[1].weights == weight_hash(folder / "policy")
    counts = read_counts(counts_file(Path("matched"), TASK)).counts
    assert counts.n.tolist() == [20] * 12


def test_a_bracket_that_misses_the_base_says_how_far_it_goes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert entropy.main(command(folder, "m=8", "high=0.65")) == 1
    error = capsys.readouterr().err
    assert "at temperature 0.6" in error and "at 0.65" in error and "give another bracket" in error
    assert not Path("matched").exists()


def test_another_template_than_the_bases_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(folder / "base", "other")
    file = counts_file(Path("other"), TASK)
    conditions, origin = read_about(file)
    assert conditions is not None and origin is not None
    schema = stamped(COUNTS, replace(conditions, template="boxed"), origin)
    pq.write_table(pa.Table.from_pylist(pq.read_table(file).to_pylist(), schema), file)
    assert entropy.main([*command(folder), "base=other"]) == 2
    assert "the base was measured otherwise (there / now): template: boxed" in capsys.readouterr().err


def test_samples_that_stopped_at_a_success_have_no_entropy(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder / "base", "other")
    file = counts_file(Path("other"), TASK)
    conditions, origin = read_about(file)
    assert conditions is not None and origin is not None
    rows = [{"problem": "a", "n": 3, "correct": 1, "stop_r": 1, "n_max": 4}]
    pq.write_table(pa.Table.from_pylist(rows, stamped(COUNTS, conditions, origin)), file)
    assert entropy.main([*command(folder), "base=other"]) == 2
    assert "without base_stop_r" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (["low=2", "high=1"], "low = 2.0\n      has to lie below high, 1"),
        (["out=base", "base=base"], "holds the base's samples"),
        (["m=0"], "m = 0"),
        (["task=countdwn:3"], "did you mean countdown?"),
        (["base=absent"], "absent/countdown-3.parquet cannot be read"),
        (["polcy=x"], "unknown key; did you mean policy?"),
    ],
)
def test_wrong_arguments(
    folder: Path, capsys: pytest.CaptureFixture[str], more: list[str], complaint: str
) -> None:
    given = {a.partition("=")[0]: a for a in [*command(folder), *more]}
    assert entropy.main(list(given.values())) == 2
    assert complaint in capsys.readouterr().err
