"""The memory estimate against real models, and what it advises."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from toys import shaped_model

from rlvr.algorithms import ALGORITHMS
from rlvr.config.errors import ConfigError
from rlvr.config.schema import Config, Shape
from rlvr.learning.actor_critic import ValueModel
from rlvr.planning.advice import Gpus, check_fit
from rlvr.planning.dry_run import describe
from rlvr.planning.memory import (
    GATHERED,
    GIB,
    critic_parameters,
    estimate,
    layer_activations,
    lora_parameters,
    parameters,
)
from rlvr.planning.recipe import load_config, recipe_names

SEVEN_B = Shape(
    layers=28, hidden=3584, intermediate=18944, heads=28, kv_heads=4, head_dim=128, vocab=152064
)  # fmt: skip
HALF_B = Shape(
    layers=24, hidden=896, intermediate=4864, heads=14, kv_heads=2, head_dim=64, vocab=151936, tied=True
)  # fmt: skip
TOY = Shape(layers=2, hidden=64, intermediate=160, heads=4, kv_heads=2, head_dim=16, vocab=50)


def configured(*arguments: str, shape: Shape = SEVEN_B, recipe: str = "grpo_qwen7b") -> Config:
    numbers = ",".join(f"{key}: {str(value).lower()}" for key, value in shape.model_dump().items())
    return load_config([f"recipe={recipe}", f"policy.shape={{{numbers}}}", *arguments])


def size(tensors: Iterable[Tensor | None]) -> float:
    """GiB."""
    return sum(t.numel() * t.element_size() for t in tensors if t is not None) / GIB


@pytest.mark.parametrize("shape", [SEVEN_B, HALF_B, TOY], ids=["7B", "0.5B tied", "toy"])
def test_parameters_are_those_of_the_model(shape: Shape) -> None:
    with torch.device("meta"):
        model = shaped_model(shape)
        critic = ValueModel(model, own_trunk=True)
    assert parameters(shape) == sum(p.numel() for p in model.parameters())
    assert critic_parameters(shape) == sum(p.numel() for p in critic.parameters())
    lora = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear"))
    assert lora_parameters(shape, 8) == sum(p.numel() for p in lora.parameters() if p.requires_grad)


@pytest.mark.parametrize("lora", [False, True])
def test_weights_gradients_and_optimizer_are_the_bytes_of_real_tensors(lora: bool) -> None:
    config = configured(
        "policy.zero=0", "policy.dtype=float32", *(["policy.lora.rank=4"] if lora else []), shape=TOY
    )
    model: nn.Module = shaped_model(TOY)
    if lora:
        model = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear"))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3)
    model(torch.arange(20)[None]).logits.sum().backward()
    optimizer.step()
    moments = [m for state in optimizer.state.values() for name, m in state.items() if name != "step"]
    expected = estimate(config, TOY, processes=1)
    assert expected.weights == pytest.approx(size(model.parameters()))
    assert expected.gradients == pytest.approx(size(p.grad for p in trained))
    assert expected.optimizer == pytest.approx(size(moments))


@pytest.mark.parametrize(
    ("weights", "autocast"), [("float32", False), ("bfloat16", False), ("float32", True)]
)
def test_a_layers_activations_are_what_autograd_keeps(weights: str, autocast: bool) -> None:
    """Bytes that each further layer and token adds to what is saved for the backward pass."""
    wide = TOY.model_copy(update={"hidden": 256, "intermediate": 1024, "head_dim": 64})

    def saved(layers: int, tokens: int) -> int:
        model = shaped_model(wide.model_copy(update={"layers": layers})).to(getattr(torch, weights))
        own = {p.untyped_storage().data_ptr() for p in model.parameters()}
        kept: dict[int, Tensor] = {}

        def keep(tensor: Tensor) -> Tensor:
            if tensor.untyped_storage().data_ptr() not in own:
                kept[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        ids = torch.zeros(2, tokens // 2, dtype=torch.long)
        with (
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            torch.autocast("cpu", torch.bfloat16, enabled=autocast),
        ):
            model.get_decoder()(input_ids=ids, use_cache=False)
        return sum(t.untyped_storage().nbytes() for t in kept.values())

    def per_layer(tokens: int) -> float:
        return (saved(3, tokens) - saved(1, tokens)) / 2

    measured = (per_layer(256) - per_layer(128)) / 128  # without the casts of the weights
    dtype = "bfloat16" if autocast else weights
    assert layer_activations(wide, dtype, autocast) == pytest.approx(measured, rel=0.01)


def test_what_zero_shards() -> None:
    """bfloat16: 2 bytes of weights, 4 of gradients, 4 of fp32 weights and 8 of moments a parameter."""
    count = parameters(SEVEN_B) / GIB
    whole, two, three = (estimate(configured(f"policy.zero={z}"), SEVEN_B, 8) for z in (0, 2, 3))
    assert (whole.weights, whole.gradients, whole.optimizer) == pytest.approx(
        ((4 + 2) * count, (4 + 4) * count, 8 * count)  # the casts of a pass, DDP's buckets
    )
    assert (two.weights, two.gradients, two.optimizer) == pytest.approx(
        (2 * count, 4 * count / 8, 12 * count / 8)
    )
    gathered = 2 * GATHERED / GIB
    assert (three.weights, three.gradients, three.optimizer) == pytest.approx(
        (2 * count / 8 + gathered, 4 * count / 8, 12 * count / 8)
    )


def test_a_reference_and_a_critic_are_counted() -> None:
    plain = estimate(configured("policy.zero=2"), SEVEN_B, 8)
    reference = estimate(configured("policy.zero=2", "algorithm.kl.coefficient=0.1"), SEVEN_B, 8)
    assert reference.weights - plain.weights == pytest.approx(2 * parameters(SEVEN_B) / GIB)
    assert reference.optimizer == plain.optimizer
    alone = [
        estimate(configured("policy.zero=0", f"algorithm.kl.coefficient={c}"), SEVEN_B, 1).weights
        for c in (0, 1)
    ]
    assert alone[1] - alone[0] == pytest.approx(4 * parameters(SEVEN_B) / GIB)  # in fp32, as the policy
    lora = [
        estimate(configured("policy.lora.rank=8", f"algorithm.kl.coefficient={c}"), SEVEN_B, 8)
        for c in (0, 1)
    ]
    assert lora[0] == lora[1]  # the reference is the policy without its adapters
    critic = estimate(configured("policy.zero=2", recipe="ppo_qwen7b"), SEVEN_B, 8)
    assert critic.optimizer - plain.optimizer == pytest.approx(12 * critic_parameters(SEVEN_B) / 8 / GIB)


def test_the_critic_of_adapters_trains_a_copy_of_them() -> None:
    """As the model that is built: its trunk is a copy, frozen but for the adapters."""
    model = shaped_model(TOY)
    held = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear"))
    critic = ValueModel(held.base_model.model, own_trunk=True)
    trained = sum(p.numel() for p in critic.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in critic.parameters() if not p.requires_grad)
    settings = ("policy.lora.rank=4", "policy.zero=0", "policy.dtype=float32")
    ppo, grpo = (
        estimate(configured(*settings, shape=TOY, recipe=f"{name}_qwen7b"), TOY, 1)
        for name in ("ppo", "grpo")
    )
    assert ppo.optimizer - grpo.optimizer == pytest.approx(8 * trained / GIB)
    assert ppo.weights - grpo.weights == pytest.approx(4 * (trained + frozen) / GIB)


def test_an_algorithm_without_settings_is_estimated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bare.py").write_text(
        "from rlvr.algorithms.bundle import Kl\n"
        "from rlvr.algorithms.grpo import grpo\n"
        "def bare():\n"
        "    return grpo(kl=Kl())\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(ALGORITHMS, "bare", "bare:bare")
    bare = load_config(["recipe=grpo_qwen7b", "algorithm=bare"], 8)
    assert estimate(bare, SEVEN_B, 8) == estimate(configured("algorithm.kl.coefficient=0"), SEVEN_B, 8)
    assert "training" in describe(bare, 8, Gpus(8, 80))


def test_adapters_on_four_bits_take_a_quarter_of_the_frozen_weights() -> None:
    halves, four_bits = (
        estimate(configured("policy.zero=0", f"policy.lora.quantized={q}"), SEVEN_B, 1).weights
        for q in ("false", "true")
    )
    rest = (2 * 2 * SEVEN_B.vocab * SEVEN_B.hidden + 4 * lora_parameters(SEVEN_B, 32)) / GIB
    assert four_bits - rest == pytest.approx((halves - rest) * 0.5625 / 2, rel=0.01)


def test_where_the_engine_is() -> None:
    """vLLM sleeps while the policy trains, the hf engine does not, a server takes no room here."""
    asleep = estimate(configured("engine.memory_share=0.5"), SEVEN_B, 8, gpu=80)
    assert asleep.engine_weights + asleep.kv_cache == pytest.approx(40)
    assert asleep.training == asleep.states + asleep.activations
    assert asleep.generating == asleep.states + 40
    # 2 (keys, values) x 28 layers x 4 heads x 128 x 2 bytes x the probe's 16384 tokens
    assert asleep.kv_completion == 57344 * 16384 / GIB
    awake = estimate(configured("engine.name=hf", "engine.batch_size=4"), SEVEN_B, 8, gpu=80)
    assert awake.training == pytest.approx(awake.states + awake.activations + 2 * parameters(SEVEN_B) / GIB)
    assert awake.completions == pytest.approx(4)
    away = estimate(configured("engine.mode=server"), SEVEN_B, 8, gpu=80)
    assert away.generating == away.states


def test_full_logits_are_never_counted() -> None:
    short, long = (
        estimate(configured(f"optim.micro_batch_tokens={tokens}"), SEVEN_B, 8).activations
        for tokens in (16384, 32768)
    )
    kept_per_token = 28 * 3584 * 2 + layer_activations(SEVEN_B, "bfloat16")
    assert long - short == pytest.approx(16384 * kept_per_token / GIB)


@pytest.mark.parametrize("recipe", [name for name in recipe_names() if name.endswith("_qwen7b")])
def test_the_studys_recipes_fit_on_eight_gpus_of_80_gib(recipe: str) -> None:
    config = load_config([f"recipe={recipe}"])
    assert config.policy.shape is not None
    assert check_fit(config, config.policy.shape, Gpus(8, 79.6)).faults == ()


@pytest.mark.parametrize(
    ("arguments", "gpus", "fault", "change"),
    [
        (["policy.zero=0", "engine.mode=server"], "8x80", "training needs", "policy.zero=3: at most"),
        (
            ["policy.gradient_checkpointing=false"],
            "8x80",
            "training needs",
            "policy.gradient_checkpointing=true",
        ),
        (
            ["optim.micro_batch_tokens=131072", "engine.memory_share=0.36"],
            "8x64",
            "training needs",
            "optim.micro_batch_tokens=8192",
        ),
        (
            ["engine.memory_share=0.9"],
            "8x80",
            "generation beside the training states",
            "engine.memory_share=",
        ),
        (["engine.memory_share=0.18"], "8x80", "KV cache holds 0.", "engine.memory_share=0."),
        (["policy.zero=0"], "1x80", "training needs", "policy.lora.rank=32"),
        (["engine.memory_share=0.9"], "8x80", "generation beside", "engine.mode=server"),
    ],
)
def test_what_does_not_fit_is_named_with_a_change_that_does(
    arguments: list[str], gpus: str, fault: str, change: str
) -> None:
    fit = check_fit(configured(*arguments), SEVEN_B, Gpus.parse(gpus))
    assert any(fault in f for f in fit.faults), fit
    assert any(a.startswith(change) and a.endswith(" fits") for a in fit.advice), fit


@pytest.mark.parametrize("text", ["8", "8x", "x80", "0x80", "8x0", "8*80", "8x80GB", ""])
def test_gpus_are_given_as_count_and_gib(text: str) -> None:
    with pytest.raises(ConfigError, match="COUNTxGIB"):
        Gpus.parse(text)


def test_the_dry_run_says_whether_it_fits(capsys: Any) -> None:
    from rlvr.train import main

    assert main(["recipe=grpo_qwen7b", "--dry-run=8x80"]) == 0
    assert "fits 8 x 80 GiB" in capsys.readouterr().out
    assert main(["recipe=grpo_qwen7b", "--dry-run=1x80", "policy.zero=0"]) == 3
    printed = capsys.readouterr().out
    assert "does not fit 1 x 80 GiB: training needs" in printed and "policy.lora.rank=32" in printed
    assert main(["recipe=grpo_qwen7b", "--dry-run=80"]) == 2
    assert "COUNTxGIB" in capsys.readouterr().err
