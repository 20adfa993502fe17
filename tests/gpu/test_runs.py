"""Whole runs: the engine that shares a GPU with the trainer gets every new policy, and the probe samples."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
TINY = [
    "recipe=grpo_tiny", "steps=3", "save_every=2", "rollouts.prompts=8", "rollouts.group_size=4",
    "rollouts.max_new_tokens=32", "optim.micro_batch_tokens=600", "optim.lr=1e-3", "optim.warmup_steps=0",
    "probe.tasks=[countdown:3]", "probe.max_problems=4", "probe.n=4", "probe.base_n=4", "probe.final_n=4",
    "probe.k=4",
]  # fmt: skip
BF16 = ["policy.dtype=bfloat16", "engine.dtype=bfloat16"]
VLLM = ["engine.name=vllm", "engine.memory_share=0.3"]
QLORA = ["policy.lora.rank=8", "policy.lora.quantized=true", "optim.lr=1e-2"]


def on_gpu(*arguments: str, mismatch: float) -> object:
    return pytest.param("cuda", arguments, mismatch, marks=pytest.mark.gpu, id=f"cuda {' '.join(arguments)}")


# The last number: how far engine and trainer may lie apart on average. One step of lr=1e-3 moves the
# policy much further than float32's rounding, but not further than bfloat16's.
@pytest.mark.usefixtures("base")
@pytest.mark.parametrize(
    ("device", "arguments", "mismatch"),
    [
        pytest.param("cpu", ["engine.name=vllm"], 1e-4, marks=[pytest.mark.slow, pytest.mark.vllm]),
        on_gpu("engine.name=hf", mismatch=1e-4),
        on_gpu(*VLLM, mismatch=5e-3),
        on_gpu(*VLLM, *BF16, mismatch=5e-2),
        on_gpu(*VLLM, *BF16, *QLORA, mismatch=5e-2),
        on_gpu(*VLLM, *BF16, "policy.zero=2", mismatch=5e-2),
    ],
    indirect=["device"],
)
def test_a_run(arguments: list[str], mismatch: float, device: torch.device, tmp_path: Path) -> None:
    if "engine.name=vllm" in arguments:
        pytest.importorskip("vllm", reason="needs vLLM (make install-test or install-gpu)")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if device.type == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    done = subprocess.run(
        [sys.executable, str(ROOT / "rlvr" / "train.py"), *TINY, *arguments, "run_dir=run"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-6000:]
    steps = read_rows(tmp_path / "run" / "metrics.jsonl")
    assert [row["step"] for row in steps] == [1, 2, 3]
    assert all(row["loss/skipped"] == 0 and row["mismatch/mean"] < mismatch for row in steps)
    assert any(row["loss/grad_norm"] > 0 for row in steps)
    assert [row["step"] for row in read_rows(tmp_path / "run" / "probe.jsonl")] == [0, 2, 3]


def read_rows(file: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in file.read_text().splitlines()]
