"""Packed rows: what stands where, who sees whom, and the models that take them."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from toys import (
    assert_equal_gradients,
    gradient,
    toy_algorithm,
    toy_batch,
    toy_groups,
    toy_learner,
    toy_model,
)
from transformers import AutoConfig, AutoModelForCausalLM

from rlvr.algorithms.batch import TokenBatch, padded
from rlvr.algorithms.bundle import Critic
from rlvr.config.schema import Lora
from rlvr.learning import packed_attention
from rlvr.learning.actor_critic import ActorCritic
from rlvr.learning.packing import PackedRows, packs
from rlvr.models.lora import attach
from rlvr.rollouts.collect import to_batch

HEADS, SHARED, SIZE, WIDE = 4, 2, 8, 5


def batch_of(rows: list[tuple[int, list[int], list[int]]]) -> TokenBatch:
    """rows: (group, prompt, completion)."""
    tokens, prompt, length = padded([row[1] for row in rows], [row[2] for row in rows])
    depth = tokens.shape[1] - int(prompt.max())
    return TokenBatch(
        tokens=tokens,
        prompt_len=prompt,
        completion_len=length,
        mask=(torch.arange(depth) < length[:, None]).float(),
        group=torch.tensor([row[0] for row in rows]),
    )


def test_the_layout_by_hand() -> None:
    """Group 7 is rows 0 and 2, whose last tokens are not computed; row 3 has no token at all."""
    batch = batch_of([(7, [1, 2], [3, 4, 5]), (9, [6], [7]), (7, [1, 2], [8, 9]), (9, [6], [])])
    rows = PackedRows(batch)
    assert rows.tokens.tolist() == [1, 2, 3, 4, 8, 6]
    assert rows.positions.tolist() == [0, 1, 2, 3, 2, 0]
    assert rows.answers.tolist() == [3, 4, 5, 7, 8, 9]
    assert rows.before.tolist() == [1, 2, 3, 5, 1, 4]
    assert rows.spread(torch.arange(1, 7)).tolist() == [[1, 2, 3], [4, 0, 0], [5, 6, 0], [0, 0, 0]]
    assert [part[part >= 0].tolist() for part in rows.spans.keys] == [[0, 1], [0, 1, 2, 3], [0, 1, 4], [5]]


row_lengths = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=9
)  # (group, completion tokens)


def heads(batch: TokenBatch) -> tuple[PackedRows, Tensor, Tensor, Tensor]:
    rows = PackedRows(batch)
    torch.manual_seed(0)
    shapes = [(HEADS, SIZE), (SHARED, SIZE), (SHARED, WIDE)]
    made = [torch.randn(1, n, len(rows.tokens), d, dtype=torch.float64) for n, d in shapes]
    return rows, *(x.requires_grad_() for x in made)


def by_dense_mask(rows: PackedRows, query: Tensor, key: Tensor, value: Tensor, window: int | None) -> Tensor:
    """Attention where token i sees j if a row has both, and j is at or before i in it."""
    length = len(rows.tokens)
    sees = torch.zeros(length, length, dtype=torch.bool)
    for line in rows.spans.keys:
        for i, one in enumerate(line[line >= 0]):
            for j in range(0 if window is None else max(0, i + 1 - window), i + 1):
                sees[one, line[j]] = True
    key, value = (x.repeat_interleave(HEADS // SHARED, 1) for x in (key, value))
    return scaled_dot_product_attention(query, key, value, attn_mask=sees, scale=0.3).transpose(1, 2)


def sequences(
    query: Tensor, key: Tensor, value: Tensor, begin_q: Tensor, begin_k: Tensor, most_q: int, most_k: int,
    *, scale: float, window_size: tuple[int, int], enable_gqa: bool,
) -> Tensor:  # fmt: skip
    """torch's `varlen_attn` as it is documented: the last query of a sequence sees its last key."""
    assert enable_gqa and window_size[1] == 0
    done = []
    for i in range(len(begin_q) - 1):
        q = query[begin_q[i] : begin_q[i + 1]]
        k, v = (x[begin_k[i] : begin_k[i + 1]].repeat_interleave(HEADS // SHARED, 1) for x in (key, value))
        assert 0 < len(q) <= most_q and len(q) <= len(k) <= most_k
        apart = torch.arange(len(k)) - (torch.arange(len(q)) + len(k) - len(q))[:, None]
        sees = (apart <= 0) & (apart >= -window_size[0] if window_size[0] >= 0 else True)
        q, k, v = (x.transpose(0, 1) for x in (q, k, v))
        done.append(scaled_dot_product_attention(q, k, v, attn_mask=sees, scale=scale).transpose(0, 1))
    return torch.cat(done)


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("flash", [False, True])
def test_attention_is_that_of_a_dense_mask(
    flash: bool, window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs and gradients; in bands of padded parts, and as the sequences that the GPU kernel is given."""
    monkeypatch.setattr(packed_attention, "varlen_attn", sequences)
    monkeypatch.setattr(packed_attention, "_takes_flash", lambda *_: flash)
    monkeypatch.setattr(packed_attention, "CALL", 4)
    module = nn.Module()
    module.num_key_value_groups = HEADS // SHARED
    some_bands = False

    @settings(max_examples=12)
    @given(row_lengths)
    def check(lengths: list[tuple[int, int]]) -> None:
        nonlocal some_bands
        rows, *inputs = heads(batch_of([(g, [2] * (1 + g), [3] * n) for g, n in lengths]))
        dense = by_dense_mask(rows, *inputs, window)
        own = rows.attention(module, *inputs, scaling=0.3, sliding_window=window)
        torch.testing.assert_close(own, dense, atol=1e-12, rtol=1e-12)
        slope = torch.randn_like(dense)
        expected, found = (torch.autograd.grad((x * slope).sum(), inputs) for x in (dense, own))
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)
        some_bands |= not flash and len(rows.attention._padded()[0]) > 1

    check()
    assert some_bands != flash


SMALL = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 40, "max_position_embeddings": 128, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
PACKED: dict[str, dict[str, Any]] = {
    "qwen2": {},
    "qwen3": {"head_dim": 8},
    "llama": {},
    "mistral": {"sliding_window": 4},
    "olmo2": {},
    "phi3": {"sliding_window": 4},
    "gemma3_text": {
        "head_dim": 8, "sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]
    },
    "gpt_neox": {},
    "gpt2": {},
    "qwen3_moe": {"head_dim": 8, "moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2},
    "deepseek_v3": {
        "num_key_value_heads": 4, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1,
        "topk_group": 1, "moe_intermediate_size": 16, "q_lora_rank": 8, "kv_lora_rank": 8,
        "qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "v_head_dim": 8, "first_k_dense_replace": 1,
    },
}  # fmt: skip
# Whose tokens meet elsewhere than in attention, or whose attention is their own.
WHOLE: dict[str, dict[str, Any]] = {
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "mamba": {},
    "falcon_h1": {},
    "nemotron": {},
    "bloom": {},
    "stablelm": {},
}


def model_of(kind: str, keys: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**SMALL, **keys})
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.2)
    return model


@pytest.mark.parametrize("kind", PACKED)
def test_models_that_take_packed_rows_say_what_they_say_of_padded_ones(kind: str) -> None:
    model = ActorCritic(model_of(kind, PACKED[kind]), 0.9)
    assert model.packs
    batch = toy_batch()
    with torch.no_grad():
        packed = model(batch)
        model.packs = False
        whole = model(batch)
    for one, other in zip(packed[:2], whole[:2], strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("kind", WHOLE)
def test_other_models_are_given_padded_rows(kind: str) -> None:
    model = model_of(kind, WHOLE[kind])
    before = model.config._attn_implementation
    assert not packs(model)
    assert model.config._attn_implementation == before


def test_a_layer_that_does_not_take_them_is_an_error() -> None:
    model = toy_model()
    assert packs(model)
    model.model.layers[1].self_attn.config = AutoConfig.for_model("qwen2", attn_implementation="sdpa")
    with pytest.raises(RuntimeError, match="1 of 2 layers of Qwen2Model took packed rows"):
        PackedRows(toy_batch()).states(model.model)


def learned(model: ActorCritic, batch: TokenBatch) -> dict[str, Tensor]:
    model.zero_grad()
    scores = model(batch)
    assert scores.values is not None
    generator = torch.Generator().manual_seed(3)
    slopes = torch.randn(2, *batch.mask.shape, generator=generator, dtype=torch.float64)
    (torch.stack([scores.logprobs, scores.values]) * slopes * batch.mask).sum().backward()
    return gradient(model)


@pytest.mark.parametrize("trunk", ["copy", "shared"])
@pytest.mark.parametrize("adapters", [False, True])
def test_policy_critic_and_adapters_have_the_gradient_of_padded_rows(adapters: bool, trunk: Any) -> None:
    policy = toy_model()
    if adapters:
        holder = attach(policy, Lora(rank=4))
        policy = holder.get_base_model()
        for parameter in holder.parameters():
            if parameter.requires_grad:
                parameter.data.normal_(0, 0.1)
    model = ActorCritic(policy, 0.7, Critic(trunk=trunk))
    assert model.packs and model.critic is not None
    model.critic.head.weight.data.normal_()
    batch = toy_batch()
    packed = learned(model, batch)
    model.packs = False
    assert_equal_gradients(learned(model, batch), packed, 1e-10)


def test_a_prompt_is_computed_once_a_group_and_nothing_is_padded() -> None:
    groups = toy_groups()
    batch = to_batch(groups)
    model = ActorCritic(toy_model(), 1.0)
    seen = []
    model.policy.model.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    with torch.no_grad():
        model(batch)
    own = sum(len(s.completion.token_ids) - 1 for group in groups for s in group.scored)
    assert seen == [sum(len(group.prompt_ids) for group in groups) + own]


def test_a_run_says_that_its_model_is_given_padded_rows() -> None:
    with pytest.warns(UserWarning, match="Qwen2ForCausalLM does not take packed rows"):
        toy_learner(toy_algorithm("grpo"), toy_model(padded=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        toy_learner(toy_algorithm("grpo"), toy_model())
