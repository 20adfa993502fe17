"""The probe as a callback of other trainers: TRL's and transformers' own, plain, sharded, with adapters."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from forked import ranks
from torch import nn
from transformers import Trainer

from evals.__main__ import main as evals_command
from evals.probe.callback import ProbeCallback
from evals.records.samples import read_samples
from evals.reports.compare.loading import read_run
from evals.sampling.settings import ProbeConfig, ProbedTask, WatchConfig
from examples import other_trainers
from rlvr.config.errors import ConfigError
from rlvr.core.checkpoint import weight_hash
from rlvr.core.run_dir import read_jsonl
from rlvr.graders import Status, StringVerifier
from rlvr.hooks import CheckpointEvent, HookReport
from rlvr.tasks import build_task

ROOT = Path(__file__).resolve().parents[3]


def test_every_counts_saves_whatever_steps_lie_between(monkeypatch: pytest.MonkeyPatch) -> None:
    callback = ProbeCallback("base", ProbeConfig(every=2), max_new_tokens=8)
    probed: list[int] = []
    monkeypatch.setattr(callback, "_measure", lambda args, state, *_: probed.append(state.global_step))
    for step in (7, 14, 21, 28, 30):
        state = SimpleNamespace(global_step=step, max_steps=30)
        callback.on_save(SimpleNamespace(output_dir="out"), state, None, model=None)
    assert probed == [14, 28, 30]


def test_settings_that_contradict_each_other_are_refused() -> None:
    watch, tasks = WatchConfig(max_coverage_lost=0.2), [build_task("countdown:3")]
    with pytest.raises(ConfigError, match="coverage is watched at one k"):
        ProbeCallback("base", ProbeConfig(n=32, watch=watch), max_new_tokens=8, tasks=tasks)
    ProbeCallback("base", ProbeConfig(n=32, k=16, watch=watch), max_new_tokens=8, tasks=tasks)


def test_a_stop_is_followed_by_the_last_probe() -> None:
    callback = ProbeCallback("base", ProbeConfig(), max_new_tokens=8)
    asked: list[bool] = []

    def probe(event: CheckpointEvent) -> HookReport:
        asked.append(event.last)
        return HookReport(stop=None if event.last else "no better", metrics={"probe/gap": 0.5})

    callback._probe = probe  # type: ignore[assignment]
    callback._engine = SimpleNamespace(load=list, sleep=lambda: None)  # type: ignore[assignment]
    state = SimpleNamespace(global_step=2, max_steps=9, log_history=[])
    control = SimpleNamespace(should_training_stop=False)
    callback.on_save(SimpleNamespace(output_dir="out"), state, control, model=nn.Linear(1, 1))
    assert asked == [False, True] and control.should_training_stop
    assert state.log_history == [{"step": 2, "probe/gap": 0.5}]


def example(kind: str, base: Path, out: Path, steps: int = 4) -> Trainer:
    """A trainer of examples/other_trainers.py, after training with the probe in it."""
    pytest.importorskip("trl", reason="needs TRL (make install-test)")
    settings = ProbeConfig(
        tasks=(ProbedTask(name="countdown:3"),), n=8, base_n=8, final_n=16, k=8, max_problems=3
    )
    trainer = other_trainers.KINDS[kind](str(base), str(out), steps)
    ProbeCallback(base, settings, max_new_tokens=48).attach(trainer)
    trainer.train()
    return trainer


def check_run(out: Path, base: Path, trainer: Trainer) -> None:
    """Its records are the base's and two checkpoints'; they reached the trackers; compare takes the run."""
    records = read_jsonl(out / "probe.jsonl")
    assert [(r["step"], r["n"]) for r in records] == [(0, 8), (2, 8), (4, 16)]
    assert records[0]["policy_hash"] == records[0]["base_hash"] == weight_hash(base)
    assert [r["policy_hash"] for r in records[1:]] == [weight_hash(out / f"checkpoint-{n}") for n in (2, 4)]
    logged = [row["probe/gap"] for row in trainer.state.log_history if "probe/gap" in row]
    assert logged == [r["gap"] for r in records]
    run = read_run(out)
    assert run.finished and run.trained == 4 and run.step == 4
    assert not (out / "evidence").exists()


def texts(out: Path, step: int) -> list[str]:
    samples = read_samples(out / f"probes/step_{step:06d}/countdown-3.samples.parquet", ["text"])
    return samples["text"].to_pylist()[:8]


def test_a_trl_run_with_adapters_gets_the_same_probe(base: Path, tmp_path: Path) -> None:
    trainer = example("lora", base, tmp_path / "lora")
    check_run(tmp_path / "lora", base, trainer)
    assert texts(tmp_path / "lora", 0) != texts(tmp_path / "lora", 2)
    assert (tmp_path / "lora/checkpoint-2/adapter_model.safetensors").exists()
    counts = pd.read_parquet(tmp_path / "lora/probes/step_000004/countdown-3.parquet")
    assert counts["n"].tolist() == [16, 16, 16]
    metrics = read_jsonl(tmp_path / "lora/metrics.jsonl")
    assert [row["step"] for row in metrics] == [1, 2, 3, 4]
    assert all(row["rollout/length"] > 0 and 0 <= row["rollout/reward"] <= 1 for row in metrics)
    config = read_run(tmp_path / "lora").config
    assert (config.algorithm.name, config.rollouts.group_size, config.rollouts.prompts) == (
        "trl.GRPOTrainer", 8, 2,
    )  # fmt: skip
    report = tmp_path / "report"
    assert evals_command(["compare", str(tmp_path / "lora"), f"out={report}"]) == 0
    assert "TRL.GRPOTRAINER" in (report / "index.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["grpo", "vllm", "sft", "trainer"])
def test_the_other_examples_get_it_too(kind: str, base: Path, tmp_path: Path) -> None:
    check_run(tmp_path / kind, base, example(kind, base, tmp_path / kind))


@pytest.mark.distributed
def test_fsdp_gives_whole_weights_and_adapters_added() -> None:
    for done in ranks(2, [str(Path(__file__).with_name("sharded_weights.py"))]):
        assert done.returncode == 0, done.stderr
        assert "fsdp2 True 26" in done.stdout


@pytest.mark.slow
@pytest.mark.distributed
def test_zero_3_on_two_processes(base: Path, tmp_path: Path) -> None:
    """With this project's launch file; checkpoints then hold shards alone, and no whole weights."""
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", "launch/cpu_zero3.yaml"]
    out = tmp_path / "zero3"
    done = subprocess.run(
        [*launch, "examples/other_trainers.py", "grpo", str(base), str(out), "4"],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not (out / "evidence").exists()
    records = read_jsonl(out / "probe.jsonl")
    assert [r["step"] for r in records] == [0, 2, 4]
    assert len({r["policy_hash"] for r in records}) == 3
    assert not list((out / "checkpoint-2").glob("*.safetensors"))


def test_a_probe_that_fails_ends_nobodys_training(base: Path, tmp_path: Path) -> None:
    trl = pytest.importorskip("trl", reason="needs TRL (make install-test)")
    task, calls = build_task("countdown:3"), []

    def decide(completion: str, reference: Any) -> tuple[Status, str | None]:
        calls.append(completion)
        if len(calls) < 40:  # 24 samples of the base, and some of the first checkpoint's
            return Status.WRONG, None
        if len(calls) == 40:
            raise RuntimeError("the grader fell over [/at] [red]")
        return Status.CORRECT, None

    out = tmp_path / "run"
    settings = ProbeConfig(n=8, base_n=8, final_n=8, k=8, max_problems=3)
    callback = ProbeCallback(base, settings, 48, tasks=[replace(task, verifier=StringVerifier(decide, "1"))])
    trainer = other_trainers.sft(str(base), str(out), 4)
    callback.attach(trainer)
    trainer.train()
    assert trl and trainer.state.global_step == 4
    assert [r["step"] for r in read_jsonl(out / "probe.jsonl")] == [0, 4]
    assert "the grader fell over" in (out / "evidence/probe-at-step-2-rank-0.txt").read_text()


def test_training_from_other_weights_has_no_step_0(base: Path, tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="needs TRL (make install-test)")
    settings = ProbeConfig(n=2, base_n=2, final_n=2, k=2, max_problems=2)
    trainer = other_trainers.sft(str(base), str(tmp_path / "run"), 2)
    with torch.no_grad():
        next(trainer.model.parameters()).mul_(1.5)
    ProbeCallback(base, settings, 8, tasks=[build_task("countdown:3")]).attach(trainer)
    trainer.train()
    assert [r["step"] for r in read_jsonl(tmp_path / "run/probe.jsonl")] == [2]
    evidence = (tmp_path / "run/evidence/probe-before-step-0-rank-0.txt").read_text()
    assert "training does not start from" in evidence


def test_a_detached_probe_takes_up_what_a_trainer_left(base: Path, tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="needs TRL (make install-test)")
    out = tmp_path / "run"
    settings = ProbeConfig(
        tasks=(ProbedTask(name="countdown:3"),),
        mode="detached",
        n=4,
        base_n=4,
        final_n=4,
        k=4,
        max_problems=2,
    )
    trainer = other_trainers.sft(str(base), str(out), 2)
    ProbeCallback(base, settings, 8).attach(trainer)
    trainer.train()
    assert not (out / "probe.jsonl").exists() and len(list((out / "jobs").glob("step_*"))) == 2
    assert evals_command(["probe", f"run={out}"]) == 0
    assert [r["step"] for r in read_jsonl(out / "probe.jsonl")] == [0, 2]
    with pytest.raises(ValueError, match=r"config\.tasks"):
        ProbeCallback(base, ProbeConfig(mode="detached"), 8, tasks=[build_task("countdown:3")])
