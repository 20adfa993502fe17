"""Whole runs under DeepSpeed, LoRA, bfloat16 and vLLM: they train, save, and go on as if never stopped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from forked import finished, ranks
from safetensors.torch import load_file
from served import saved_model, served

from rlvr.core.run_dir import read_jsonl
from rlvr.models.loading import load_model

ROOT = Path(__file__).resolve().parents[3]

TINY = [
    "recipe=grpo_tiny", "rollouts.prompts=8", "rollouts.group_size=4", "rollouts.max_new_tokens=32",
    "optim.micro_batch_tokens=600", "save_every=2", "probe.tasks=[countdown:3]", "probe.max_problems=4",
    "probe.n=4", "probe.base_n=4", "probe.final_n=4", "probe.k=4", "optim.lr=1e-3", "optim.warmup_steps=0",
]  # fmt: skip


def launch(run: Path, *arguments: str, zero: int = 0) -> list[dict[str, Any]]:
    """Runs the trainer, on two processes where zero names a stage; returns its metrics."""
    command = ["-m", "accelerate.commands.accelerate_cli", "launch"]
    if zero:
        command += [
            "--config_file",
            str(ROOT / "launch" / f"cpu_zero{zero}.yaml"),
            "--main_process_port",
            "0",
        ]
    else:
        command += ["--num_processes", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    train = [str(ROOT / "rlvr" / "train.py"), *TINY, f"run_dir={run}", f"policy.zero={zero}", *arguments]
    done = finished([*command, *train], run.parent, timeout=540)
    assert done.returncode == 0, done.stderr[-6000:]
    return read_jsonl(run / "metrics.jsonl")


def go(run: Path, *arguments: str, zero: int = 0) -> list[dict[str, Any]]:
    """The same without the launcher, which imports everything anew in every process."""
    command = [str(ROOT / "rlvr" / "train.py"), *TINY, f"run_dir={run}", f"policy.zero={zero}", *arguments]
    for done in ranks(2 if zero else 1, command, run.parent):
        assert done.returncode == 0, done.stderr[-6000:]
    return read_jsonl(run / "metrics.jsonl")


def final(run: Path, file: str = "model.safetensors", step: int = 4) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / f"step_{step:06d}" / "policy" / file)


@pytest.mark.usefixtures("base")
class TestGoingOn:
    """Some steps at once, and half of them and then the others from what was saved, end with the same
    weights, bit by bit."""

    def check(
        self,
        tmp_path: Path,
        *arguments: str,
        zero: int = 0,
        file: str = "model.safetensors",
        last: int = 4,
        start: Any = launch,
    ) -> Path:
        whole, parted = tmp_path / "whole", tmp_path / "parted"
        arguments = (f"steps={last}", f"save_every={last // 2}", *arguments)
        steps = start(whole, *arguments, zero=zero)
        shutil.copytree(whole, parted)
        shutil.rmtree(parted / "checkpoints" / f"step_{last:06d}")
        (parted / ".finished").unlink()
        go(parted, *arguments, zero=zero)
        assert len(read_jsonl(parted / "metrics.jsonl")) == last
        one, other = final(whole, file, last), final(parted, file, last)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
        assert any(step["loss/grad_norm"] > 0 for step in steps)
        # The engine computes in float32, whatever the trainer does.
        assert all(
            step["mismatch/mean"] < (0.02 if "policy.dtype=bfloat16" in arguments else 1e-4) for step in steps
        )
        return whole

    @pytest.mark.distributed
    def test_zero_3_with_a_critic_and_a_reference(self, tmp_path: Path) -> None:
        pytest.importorskip("deepspeed", reason="needs DeepSpeed (make install-test)")
        settings = ["algorithm=ppo", "algorithm.kl.coefficient=0.01", "rollouts.prompts=4"]
        run = self.check(tmp_path, *settings, zero=3, last=2, start=go)
        load_model(run / "checkpoints" / "step_000002" / "policy", "float32")

    @pytest.mark.slow
    @pytest.mark.distributed
    def test_zero_2(self, tmp_path: Path) -> None:
        pytest.importorskip("deepspeed", reason="needs DeepSpeed (make install-test)")
        self.check(tmp_path, "algorithm.kl.coefficient=0.01", zero=2)

    @pytest.mark.slow
    @pytest.mark.distributed
    def test_zero_3_with_adapters(self, tmp_path: Path) -> None:
        pytest.importorskip("deepspeed", reason="needs DeepSpeed (make install-test)")
        lora = [
            "policy.lora={rank: 4}",
            "algorithm.kl.coefficient=0.01",
            "policy.gradient_checkpointing=true",
        ]
        self.check(tmp_path, *lora, zero=3, file="adapter_model.safetensors")

    @pytest.mark.slow
    def test_adapters_alone_in_bfloat16(self, tmp_path: Path) -> None:
        lora = ["policy.lora={rank: 4}", "policy.dtype=bfloat16", "algorithm.kl.coefficient=0.01"]
        self.check(tmp_path, *lora, file="adapter_model.safetensors")

    @pytest.mark.slow
    @pytest.mark.parametrize("zero", [0, 3])
    def test_a_schedule_and_modules_beside_adapters(self, zero: int, tmp_path: Path) -> None:
        settings = [
            "policy.lora={rank: 4, rslora: true, targets: [q_proj, down_proj], modules_to_save: [norm]}",
            "algorithm.kl.coefficient=0.01", "optim.schedule=cosine", "optim.decay=matrices",
            "optim.weight_decay=0.1",
        ]  # fmt: skip
        run = self.check(tmp_path, *settings, zero=zero, file="adapter_model.safetensors")
        saved = final(run, "adapter_model.safetensors")
        assert any(name.endswith("model.norm.weight") for name in saved)
        assert not any("k_proj" in name for name in saved)
        rates = [row["loss/lr"] for row in read_jsonl(run / "metrics.jsonl")]
        assert rates == sorted(rates, reverse=True) and rates[0] == 1e-3 and rates[-1] < 2e-4

    @pytest.mark.slow
    def test_bfloat16(self, tmp_path: Path) -> None:
        run = self.check(tmp_path, "policy.dtype=bfloat16")
        assert final(run)["model.norm.weight"].dtype == torch.float32  # what is trained stays whole


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.distributed
@pytest.mark.usefixtures("base")
def test_zero_3_feeds_a_vllm_on_each_process(tmp_path: Path) -> None:
    pytest.importorskip("deepspeed", reason="needs DeepSpeed (make install-test)")
    pytest.importorskip("vllm", reason="needs vLLM (make install-test)")
    steps = launch(tmp_path / "run", "steps=3", "engine.name=vllm", zero=3)
    assert any(step["loss/grad_norm"] > 0 for step in steps)
    # Stale weights would show from the second step on.
    assert all(step["mismatch/max"] < 1e-3 for step in steps)
    rows = [json.loads(line) for line in (tmp_path / "run" / "probe.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 2, 3]


@pytest.mark.slow
@pytest.mark.vllm
def test_a_run_generates_on_a_server(tmp_path: Path) -> None:
    pytest.importorskip("vllm", reason="needs vLLM (make install-test)")
    model = saved_model(tmp_path)
    with served(model) as url:
        steps = launch(
            tmp_path / "run", "steps=3", f"model={model}", "engine.name=vllm", "engine.mode=server",
            f"engine.url={url}", "engine.transfer=files", "engine.timeout=180", "rewards.overlong_cache=32",
            "rollouts.temperature=1.5", "optim.lr=1e-2",
        )  # fmt: skip
    assert all(step["loss/grad_norm"] > 0 for step in steps)
    assert all(step["mismatch/max"] < 1e-3 for step in steps)  # stale weights would show
