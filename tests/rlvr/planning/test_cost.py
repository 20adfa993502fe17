"""The shape of the model that was given, what a run takes, and an exit status that a job script can ask."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, AutoModelForCausalLM

from rlvr.config.errors import ConfigError
from rlvr.planning.cost import cost
from rlvr.planning.memory import parameters
from rlvr.planning.recipe import load_config
from rlvr.planning.shape import known_shape, shape_of
from rlvr.train import main

QWEN_32B = {
    "model_type": "qwen2", "num_hidden_layers": 64, "hidden_size": 5120, "intermediate_size": 27648,
    "num_attention_heads": 40, "num_key_value_heads": 8, "vocab_size": 152064, "tie_word_embeddings": False,
}  # fmt: skip


def directory(path: Path, config: dict[str, Any]) -> Path:
    path.mkdir()
    (path / "config.json").write_text(json.dumps(config))
    return path


@pytest.mark.parametrize(
    ("kind", "more"),
    [("qwen2", {}), ("llama", {}), ("mistral", {"head_dim": 32}), ("qwen2", {"tie_word_embeddings": True})],
)
def test_parameters_of_a_directory_are_those_of_its_model(
    kind: str, more: dict[str, Any], tmp_path: Path
) -> None:
    settings = {
        "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 128, "tie_word_embeddings": False, **more,
    }  # fmt: skip
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **settings))
    model.save_pretrained(tmp_path)
    shape = shape_of(tmp_path / "config.json")
    assert parameters(shape) == sum(p.numel() for p in model.parameters())


def test_the_models_own_shape_goes_before_the_recipes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = directory(tmp_path / "large", QWEN_32B)
    assert main(["recipe=grpo_qwen7b", f"model={model}", "--dry-run=8x80"]) == 3
    said = capsys.readouterr().out
    assert "32,763,876,352 parameters" in said and "does not fit 8 x 80 GiB" in said
    assert main(["recipe=grpo_qwen7b", "--dry-run=8x80"]) == 0
    assert "7,615,616,512 parameters (policy.shape)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "cannot be read"), ('{"hidden_size": 8}', "num_attention_heads"), ("[]", "cannot be read")],
)
def test_a_configuration_without_a_shape_is_named(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=said):
        shape_of(tmp_path / "config.json")


def test_a_cache_for_too_few_completions_does_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    """2 of 256 completions of full length used to fit."""
    assert main(["recipe=grpo_qwen7b", "--dry-run=8x80", "engine.memory_share=0.22"]) == 3
    assert "3% of those that a process samples at once are 7.7" in capsys.readouterr().out


def planned(*arguments: str) -> str:
    config = load_config(["recipe=grpo_qwen7b", *arguments], 8)
    shape, _ = known_shape(config)
    assert shape is not None
    return cost(config, shape, 8, 80.0)


def test_time_is_tokens_over_speed() -> None:
    given = planned(
        "plan.rollout_tokens=1000", "plan.update_tokens=2000", "plan.mean_tokens=900",
        "plan.dollars_per_gpu_hour=2", "probe.tasks=[]",
    )  # fmt: skip
    # 150 steps x 256 problems x 8 completions x 900 tokens = 276.48 million
    assert "276,480,000 tokens at   1,000 a second and GPU:     76.8 GPU-hours" in given
    assert "276,480,000 tokens at   2,000 a second and GPU:     38.4 GPU-hours" in given
    assert "together  115.2 GPU-hours, 14.4 hours on 8 GPU(s), 230 $ at 2 $ per GPU-hour" in given
    assert "probe" not in given and "probe" in planned()


def test_a_runs_own_speed(tmp_path: Path) -> None:
    parts = {"time/score": 1.0, "time/update": 3.0, "time/sync": 1.0}
    rows = [{"step": n, "total/tokens": 8000 * n, "time/rollout": 2.0, **parts} for n in range(1, 5)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = planned(f"plan.like={tmp_path}")
    # 8,000 tokens a step in 2 and 5 seconds, on 8 GPUs
    assert " at     500 a second" in given and " at     200 a second" in given
    with pytest.raises(ConfigError, match="three steps or more"):
        planned(f"plan.like={tmp_path / 'nothing'}")
