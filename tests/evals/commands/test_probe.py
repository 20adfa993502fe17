"""python -m evals probe: two models as a user would measure them, and the jobs of a detached run."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from forked import Forked, ranks

from evals.commands.two_models.settings import read_pair
from evals.records.files import SAMPLES, read_counts
from evals.records.samples import read_samples
from rlvr.config.errors import ConfigError
from rlvr.core.run_dir import read_jsonl

PAIR = ("base=embedded:countdown", "model=embedded:countdown-untrained", "task=countdown:3", "out=out")
SMALL = ("n=8", "k=16", "max_problems=6", "max_new_tokens=24")
RUN = ("recipe=grpo_tiny", "steps=4", "save_every=2", "keep_last=1", "rollouts.prompts=8", "run_dir=run",
       "rollouts.max_new_tokens=48", "probe.max_problems=4", "probe.n=4", "probe.base_n=8",
       "probe.final_n=8", "probe.k=8", "probe.tasks=[countdown:3]")  # fmt: skip


def start(folder: Path, *arguments: str) -> Forked:
    return Forked(["-m", "evals", "probe", *arguments], folder)


def probe(folder: Path, *arguments: str, status: int = 0) -> str:
    """Runs to the end, checks the exit status, returns stderr."""
    process = start(folder, *arguments)
    _, errors = process.communicate(timeout=500)
    assert process.returncode == status, errors
    return errors


def shards() -> list[Path]:
    return sorted(Path(os.environ["RLVR_STORE"]).rglob("samples/*.parquet"))


def test_two_models_are_measured_alike(tmp_path: Path, base: Path, untrained: Path) -> None:
    planned = probe(tmp_path, *PAIR, *SMALL, "dry_run=true")
    assert "at most 144 samples to draw, of up to 24 tokens each" in planned
    assert not (tmp_path / "out").exists() and not shards()
    shown = probe(tmp_path, *PAIR, *SMALL)
    (record,) = read_jsonl(tmp_path / "out/probe.jsonl")
    assert (record["n"], record["base_n"], record["gap_k"], record["samples_drawn"]) == (8, 16, 16, 144)
    model, of_base = (
        read_counts(tmp_path / folder / "countdown-3.parquet") for folder in ("out", "out/base")
    )
    assert model.conditions == of_base.conditions and model.problems == of_base.problems
    assert model.origin and of_base.origin and model.origin.weights != of_base.origin.weights
    gap = of_base.counts.pass_at_k(16).mean() - model.counts.pass_at_k(1).mean()
    assert record["gap"] == pytest.approx(gap)
    assert f"{100 * gap:.1f}" in shown
    samples = read_samples(tmp_path / "out/countdown-3.samples.parquet", SAMPLES.names).to_pylist()
    assert [s["problem"] for s in samples[::8]] == list(model.problems) and len(samples) == 48
    assert all(s["tokens"] == len(s["token_ids"]) <= 24 for s in samples)

    before = shards()
    again = probe(tmp_path, *PAIR, *SMALL)
    assert "0 samples to draw" in again and shards() == before
    refused = probe(tmp_path, *PAIR, *SMALL, "temperature=1.0", status=2)
    assert "temperature: 0.6 / 1.0" in refused and shards() == before


def test_inverse_sampling_draws_less_and_says_where_it_stopped(tmp_path: Path, base: Path) -> None:
    same = ("base=embedded:countdown", "model=embedded:countdown", "task=countdown:3", "out=out")
    probe(tmp_path, *same, "n=64", "k=64", "max_problems=4", "max_new_tokens=48", "base_stop_r=3", "stop_r=3")
    counts = read_counts(tmp_path / "out/countdown-3.parquet").counts
    assert counts.stop_r == 3 and counts.n_max == counts.largest_k == 64
    assert (counts.correct <= 3).all() and (counts.n[counts.correct < 3] == 64).all()
    (record,) = read_jsonl(tmp_path / "out/probe.jsonl")
    assert record["stop_r"] == 3 and record["samples"] == counts.samples < 256


def test_every_mistake_is_named_before_anything_is_loaded() -> None:
    given = {"model": "m", "task": {"name": "countdwn"}, "n": "many", "kk": 3, "every": 2}
    with pytest.raises(ConfigError) as caught:
        read_pair(given)
    shown = str(caught.value)
    for part in ("countdwn", "base", "out", "n = 'many'", "kk", "every"):
        assert part in shown
    with pytest.raises(ConfigError, match="the gap needs the base's pass@256"):
        read_pair(
            {"model": "m", "base": "b", "out": "o", "task": {"name": "countdown:3"}, "base_n": 8, "n": 8}
        )


@pytest.mark.parametrize(
    ("made", "complaint"), [("config.json", "is a run's directory"), ("probes/", "is a run's directory")]
)
def test_a_runs_records_are_not_written_over(tmp_path: Path, made: str, complaint: str) -> None:
    (tmp_path / "run").mkdir()
    if made.endswith("/"):
        (tmp_path / "run" / made).mkdir()
    else:
        (tmp_path / "run" / made).touch()
    given = {"model": "m", "base": "b", "out": f"{tmp_path}/run", "task": {"name": "countdown:3"}}
    with pytest.raises(ConfigError, match=complaint):
        read_pair(given)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file; give a directory"):
        read_pair({**given, "out": f"{tmp_path}/file"})


def test_a_model_that_is_not_there_is_named(tmp_path: Path, base: Path) -> None:
    assert "nowhere" in probe(tmp_path, *PAIR, "model=nowhere", status=1)


def test_a_detached_run_leaves_jobs_that_a_probe_takes_up(
    tmp_path: Path, base: Path, train: Callable[..., Forked]
) -> None:
    process = train(*RUN, "probe.mode=detached")
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "3 checkpoint(s) wait for: python -m evals probe run=run" in errors
    assert [p.name for p in (tmp_path / "run/checkpoints").iterdir()] == ["step_000004"]
    assert not (tmp_path / "run/probe.jsonl").exists()
    torn = tmp_path / "run/jobs/step_000001-torn"  # as a worker leaves one that is killed while it removes it
    torn.mkdir()
    assert "3 job(s) done" in probe(tmp_path, "run=run", "follow=true")
    assert list((tmp_path / "run/jobs").glob("step_*")) == [torn]
    records = read_jsonl(tmp_path / "run/probe.jsonl")
    assert [(r["step"], r["n"]) for r in records] == [(0, 8), (2, 4), (4, 8)]
    drawn = [r["samples_drawn"] for r in records]
    assert drawn == [32, 16, 32], "the base is sampled once"
    live = train(*RUN, "run_dir=live")
    assert live.wait(timeout=300) == 0
    assert [r["gap"] for r in read_jsonl(tmp_path / "live/probe.jsonl")] == [r["gap"] for r in records]


def test_jobs_of_no_run_are_an_error(tmp_path: Path) -> None:
    assert "holds no run" in probe(tmp_path, "run=elsewhere", status=2)


@pytest.mark.distributed
def test_two_processes_measure_what_one_does(
    tmp_path: Path, base: Path, untrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe(tmp_path, *PAIR, *SMALL, "chunk=16")
    monkeypatch.setenv("RLVR_STORE", str(tmp_path / "another"))
    for done in ranks(2, ["-m", "evals", "probe", *PAIR, *SMALL, "chunk=16", "out=two"], tmp_path):
        assert done.returncode == 0, done.stderr
    for file in ("countdown-3.parquet", "base/countdown-3.parquet"):
        one, two = (read_counts(tmp_path / folder / file).counts for folder in ("out", "two"))
        assert one.correct.tolist() == two.correct.tolist()
    (record,) = read_jsonl(tmp_path / "two/probe.jsonl")
    assert record["samples_drawn"] == 144


@pytest.mark.slow
@pytest.mark.vllm
def test_killed_under_vllm_it_stores_the_same_keys_once(tmp_path: Path, base: Path) -> None:
    pytest.importorskip("vllm", reason="needs vLLM (make install-test)")
    arguments = [*PAIR, "model=embedded:countdown", "engine.name=vllm", "chunk=32", "n=16", "k=16",
                 "max_problems=40", "max_new_tokens=48"]  # fmt: skip
    for kill in (1, 2):
        process = start(tmp_path, *arguments)
        while len(shards()) < 6 * kill and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    stored = len(shards())
    probe(tmp_path, *arguments)
    keys = [
        (row["prompt"], row["index"])
        for shard in shards()
        for row in pq.read_table(shard, columns=["prompt", "index"]).to_pylist()
    ]
    assert 12 <= stored < len(shards()) == 20
    assert len(keys) == len(set(keys)) == 640
    assert {index for _, index in keys} == set(range(16))
    assert json.loads((tmp_path / "out/probe.jsonl").read_text())["samples"] == 640
