"""The probe as a callback of somebody else's trainer: a short run of TRL's GRPOTrainer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from torch import nn

from evals.probe.callback import ProbeCallback
from evals.sampling.settings import ProbeConfig, WatchConfig
from rlvr.config.errors import ConfigError
from rlvr.core.checkpoint import weight_hash
from rlvr.core.run_dir import read_jsonl
from rlvr.hooks import CheckpointEvent, HookReport
from rlvr.tasks import build_task


def test_every_counts_saves_whatever_steps_lie_between(monkeypatch: pytest.MonkeyPatch) -> None:
    callback = ProbeCallback([], "base", ProbeConfig(every=2), max_new_tokens=8)
    probed: list[int] = []
    monkeypatch.setattr(callback, "_measure", lambda state, *_: probed.append(state.global_step))
    for step in (7, 14, 21, 28, 30):
        state = SimpleNamespace(global_step=step, max_steps=30)
        callback.on_save(SimpleNamespace(output_dir="out"), state, None)
    assert probed == [14, 28, 30]


def test_settings_that_contradict_each_other_are_refused() -> None:
    watch, tasks = WatchConfig(max_coverage_lost=0.2), [build_task("countdown:3")]
    with pytest.raises(ConfigError, match="coverage is watched at one k"):
        ProbeCallback(tasks, "base", ProbeConfig(n=32, watch=watch), max_new_tokens=8)
    ProbeCallback(tasks, "base", ProbeConfig(n=32, k=16, watch=watch), max_new_tokens=8)


def test_a_stop_is_followed_by_the_last_probe() -> None:
    callback = ProbeCallback([], "base", ProbeConfig(), max_new_tokens=8)
    asked: list[bool] = []

    def probe(event: CheckpointEvent) -> HookReport:
        asked.append(event.last)
        return HookReport(stop=None if event.last else "no better", metrics={"probe/gap": 0.5})

    callback._probe = probe  # type: ignore[assignment]
    callback._engine = SimpleNamespace(load=lambda weights: None)  # type: ignore[assignment]
    state = SimpleNamespace(global_step=2, max_steps=9, log_history=[])
    control = SimpleNamespace(should_training_stop=False)
    callback.on_save(SimpleNamespace(output_dir="out"), state, control, model=nn.Linear(1, 1))
    assert asked == [False, True] and control.should_training_stop
    assert state.log_history == [{"step": 2, "probe/gap": 0.5}]


def test_a_trl_run_gets_the_same_probe(base: Path, tmp_path: Path) -> None:
    trl = pytest.importorskip("trl", reason="needs TRL (make install-test)")
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    task = build_task("countdown:3")

    def reward(
        prompts: list[str], completions: list[str], reference: list[object], **_: object
    ) -> list[float]:
        return [task.verifier(text, known).score for text, known in zip(completions, reference, strict=True)]

    callback = ProbeCallback(
        tasks=[task],
        base=base,
        config=ProbeConfig(n=8, base_n=8, final_n=16, k=8, max_problems=3),
        max_new_tokens=48,
    )
    arguments = trl.GRPOConfig(
        output_dir=str(tmp_path / "trl"),
        max_steps=3,
        save_steps=2,
        per_device_train_batch_size=16,
        num_generations=8,
        max_completion_length=48,
        learning_rate=1e-3,
        report_to=[],
        use_cpu=True,
        bf16=False,
        disable_tqdm=True,
    )
    trainer = trl.GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(base),
        processing_class=AutoTokenizer.from_pretrained(base),
        args=arguments,
        reward_funcs=reward,
        train_dataset=Dataset.from_list(
            [{"prompt": p.prompt, "reference": p.reference} for p in task.train[:16]]
        ),
        callbacks=[callback],
    )
    trainer.train()

    records = read_jsonl(tmp_path / "trl/probe.jsonl")
    assert [(r["step"], r["n"]) for r in records] == [(0, 8), (2, 8), (3, 16)]
    assert records[0]["policy_hash"] == records[0]["base_hash"] == weight_hash(base)
    assert records[1]["policy_hash"] == weight_hash(tmp_path / "trl/checkpoint-2")
    assert [r["samples_drawn"] for r in records] == [24, 24, 48]
    counts = pd.read_parquet(tmp_path / "trl/probes/step_000003/countdown-3.parquet")
    assert counts["n"].tolist() == [16, 16, 16]
    texts = [
        pd.read_parquet(tmp_path / f"trl/probes/step_{step:06d}/countdown-3.samples.parquet")[
            "text"
        ].tolist()[:8]
        for step in (0, 2)
    ]
    assert texts[0] != texts[1]
    gaps = [row["probe/gap"] for row in trainer.state.log_history if "probe/gap" in row]
    assert gaps == [r["gap"] for r in records]
