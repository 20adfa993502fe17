"""A training step in float32, in bfloat16, and of adapters on frozen weights, in 4 bits on a GPU (QLoRA)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from served import random_model, saved_model
from torch import Tensor
from toys import learn, toy_algorithm, toy_groups, toy_learner, toy_model

from rlvr.config.schema import Lora, OptimConfig, PolicyConfig
from rlvr.engines.hf import HFEngine
from rlvr.learning.policy import Policy
from rlvr.models.loading import load_policy, load_tokenizer
from rlvr.rollouts.collect import to_batch

MakeAccelerator = Callable[[PolicyConfig], Accelerator]


@pytest.mark.parametrize("name", ["grpo", "ppo"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("bfloat16", 5e-2)])
def test_a_steps_gradient_is_that_of_float64_on_the_cpu(
    dtype: str, tolerance: float, name: str, device: torch.device, accelerator: MakeAccelerator
) -> None:
    """With a reference and, for PPO, a critic; trained weights and their gradients are float32."""
    algorithm = toy_algorithm(name, kl={"coefficient": 0.1})
    exact = toy_learner(algorithm, toy_model(), reference=toy_model(1), micro_batch_tokens=60)
    expected_metrics, expected = learn(exact, to_batch(toy_groups()))

    settings = PolicyConfig(dtype=dtype)
    models = toy_model(dtype=torch.float32), toy_model(1, dtype=torch.float32)
    learner = toy_learner(
        algorithm, models[0], accelerator(settings), models[1], settings=settings, micro_batch_tokens=60
    )
    metrics, found = learn(learner, to_batch(toy_groups(), device))
    assert metrics["loss/skipped"] == 0
    assert metrics["rollout/entropy"] == pytest.approx(expected_metrics["rollout/entropy"], rel=tolerance)
    assert found.keys() == expected.keys()
    apart = sum(float((found[n].cpu() - g).square().sum()) for n, g in expected.items())
    assert apart**0.5 < tolerance * sum(float(g.square().sum()) for g in expected.values()) ** 0.5
    for tensor in (*found.values(), *learner.policy.plain.parameters()):
        assert tensor.dtype is torch.float32 and tensor.device.type == device.type


INTERMEDIATE = 128  # NF4 has a scale for every 64 weights
FROZEN = [
    pytest.param("cpu", False, id="cpu-bfloat16"),
    pytest.param("cuda", False, id="cuda-bfloat16", marks=pytest.mark.gpu),
    pytest.param("cuda", True, id="cuda-4 bits", marks=pytest.mark.gpu),
]


@pytest.mark.parametrize(("device", "quantized"), FROZEN, indirect=["device"])
def test_a_step_of_adapters(
    quantized: bool, device: torch.device, accelerator: MakeAccelerator, tmp_path: Path
) -> None:
    """Adapters alone learn; the reference is what is frozen; an engine gets both in one."""
    if quantized:
        pytest.importorskip("bitsandbytes", reason="needs bitsandbytes (make install-gpu)")
    directory = saved_model(tmp_path, INTERMEDIATE)
    settings = PolicyConfig(dtype="bfloat16", lora=Lora(rank=4, alpha=8.0, quantized=quantized))
    model, adapters = load_policy(directory, settings)
    held = accelerator(settings)
    policy = Policy(model, settings, OptimConfig(lr=2e-3), held, 1.0, adapters=adapters)
    frozen = {n: p.detach().clone() for n, p in model.named_parameters() if not p.requires_grad}
    batch = to_batch(toy_groups(), device)
    before = policy.scores(batch).logprobs
    torch.testing.assert_close(policy.ref_logprobs(batch), before)

    learner = toy_learner(toy_algorithm("grpo"), toy_model(dtype=torch.float32), held)
    learner.policy = policy
    metrics, gradient = learn(learner, batch)
    assert metrics["loss/skipped"] == 0
    assert gradient and all("lora_" in n and g.isfinite().all() for n, g in gradient.items())
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == ("lora_" in name)
        assert parameter.requires_grad or torch.equal(parameter, frozen[name]), name
    assert not torch.equal(policy.scores(batch).logprobs, before)
    torch.testing.assert_close(policy.ref_logprobs(batch), before)

    plain = random_model(0, INTERMEDIATE)
    engine = HFEngine(random_model(1, INTERMEDIATE).to(device), load_tokenizer(directory), [7])
    engine.load(policy.weights())
    for name, weight in plain.named_parameters():
        loaded = engine.model.get_parameter(name).cpu()
        assert relative(loaded, weight) < (0.15 if quantized else 0.02), name


def relative(found: Tensor, expected: Tensor) -> float:
    """NF4 rounds normally distributed weights by a tenth of their size."""
    return float(((found - expected).norm() / expected.norm()).detach())
