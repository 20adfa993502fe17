"""LoRA: what is trained, what engines get, what is saved, and the reference that costs no memory."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import nn
from toys import learn, toy_algorithm, toy_batch, toy_learner, toy_model

from evals.__main__ import main as evals_command
from rlvr.config.schema import Lora, OptimConfig, PolicyConfig
from rlvr.learning.parallel import Replicas
from rlvr.learning.policy import Policy
from rlvr.models.loading import ModelError, load_model, load_policy, load_tokenizer
from rlvr.models.lora import attach, merged_weights

LORA = Lora(rank=4, alpha=8.0)


def adapted() -> tuple[nn.Module, nn.Module]:
    """The holder and the model, with adapters that do something."""
    holder = attach(toy_model(), LORA)
    with torch.no_grad():
        for parameter in holder.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn_like(parameter) * 0.1)
    return holder, holder.get_base_model()


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return dict(merged_weights(model, Replicas.whole.__get__(object())))


def test_fresh_adapters_change_nothing() -> None:
    plain = dict(toy_model().named_parameters())
    found = weights(attach(toy_model(), LORA).get_base_model())
    assert list(found) == list(plain)  # tied weights once
    assert all(torch.equal(found[name], plain[name]) for name in plain)


def test_merged_weights_are_those_that_peft_merges() -> None:
    holder, model = adapted()
    found = weights(model)
    expected = dict(copy.deepcopy(holder).merge_and_unload().named_parameters())
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-12, rtol=1e-12)


def test_trl_gives_an_engine_the_same_names_and_weights() -> None:
    generation = pytest.importorskip("trl.generation.vllm_generation")
    for holder, model in (adapted(), (toy_model(), toy_model())):
        theirs = generation.VLLMGeneration.__new__(generation.VLLMGeneration)
        theirs.model, theirs.accelerator = holder, Accelerator(cpu=True)
        theirs._dist = generation.DistributedBackend(theirs.accelerator)
        expected = {name: value.clone() for name, value in theirs._iter_named_params()}
        found = weights(model)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, atol=1e-12, rtol=1e-12)


def test_reading_the_weights_does_not_wear_them() -> None:
    _, model = adapted()
    model.bfloat16()
    before = {name: p.clone() for name, p in model.named_parameters()}
    for _ in range(3):
        weights(model)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


def policy_of(holder: nn.Module, model: nn.Module) -> Policy:
    optim = OptimConfig(lr=1e-2, micro_batch_tokens=60)
    return Policy(model, PolicyConfig(lora=LORA), optim, Accelerator(cpu=True), 1.0, adapters=holder)


def test_the_reference_is_the_policy_without_its_adapters() -> None:
    policy = policy_of(*adapted())
    plain = Policy(toy_model(), PolicyConfig(), OptimConfig(), Accelerator(cpu=True), 1.0)
    batch = toy_batch()
    reference, live = policy.ref_logprobs(batch) * batch.mask, policy.scores(batch).logprobs * batch.mask
    torch.testing.assert_close(reference, plain.scores(batch).logprobs * batch.mask)
    assert not torch.allclose(reference, live, atol=1e-3)


def test_only_adapters_learn() -> None:
    holder, model = adapted()
    learner = toy_learner(toy_algorithm("grpo"), toy_model())
    learner.policy = policy_of(holder, model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    _, gradient = learn(learner, toy_batch())
    assert gradient and all("lora_" in name for name in gradient)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) == ("lora_" not in name), name


def test_a_checkpoint_holds_adapters_that_peft_loads(untrained: Path, tmp_path: Path) -> None:
    config = PolicyConfig(lora=LORA)
    model, holder = load_policy(untrained, config)
    assert holder is not None
    with torch.no_grad():
        for parameter in holder.parameters():
            parameter.add_(0.01 if parameter.requires_grad else 0.0)
    policy_of(holder, model).save(tmp_path, tmp_path)
    assert {"adapter_model.safetensors", "adapter_config.json"} <= {f.name for f in tmp_path.iterdir()}
    assert not (tmp_path / "model.safetensors").exists()
    again, _ = load_policy(untrained, config, saved=tmp_path)
    expected, found = weights(model), weights(again)
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert any(not torch.equal(p, found[n]) for n, p in load_model(untrained, "float32").named_parameters())


@pytest.mark.skipif(torch.cuda.is_available(), reason="about machines without a GPU")
def test_four_bits_without_a_gpu_are_refused(untrained: Path) -> None:
    with pytest.raises(ModelError, match="quantized=false"):
        load_policy(untrained, PolicyConfig(lora=Lora(quantized=True)))


def test_export_writes_the_whole_model(untrained: Path, tmp_path: Path) -> None:
    model, holder = load_policy(untrained, PolicyConfig(lora=LORA))
    assert holder is not None
    with torch.no_grad():
        for parameter in holder.parameters():
            parameter.add_(0.01 if parameter.requires_grad else 0.0)
    policy_of(holder, model).save(tmp_path / "policy", tmp_path)
    load_tokenizer(untrained).save_pretrained(tmp_path / "policy")
    arguments = ["export", f"policy={tmp_path / 'policy'}", f"out={tmp_path / 'whole'}"]
    assert evals_command(arguments) == 0
    found = dict(load_model(tmp_path / "whole", "float32").named_parameters())
    for name, value in weights(model).items():
        torch.testing.assert_close(found[name], value)
    assert evals_command(arguments) == 2  # never over what is there
    assert evals_command(["export", f"policy={tmp_path}", f"out={tmp_path / 'other'}"]) == 2
