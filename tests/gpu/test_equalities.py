"""What the learner computes by another way than the plain one equals the plain one, on either device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn
from toys import assert_equal_gradients, gradient, toy_groups, toy_model

from rlvr.algorithms.bundle import Critic
from rlvr.learning import chunked_logprobs
from rlvr.learning.actor_critic import ActorCritic
from rlvr.learning.chunked_logprobs import TokenHead
from rlvr.learning.packed_attention import has_flash
from rlvr.learning.packing import PackedRows
from rlvr.rollouts.collect import to_batch

if TYPE_CHECKING:
    from rlvr.algorithms.batch import ReadyBatch

ROWS, LENGTH, HIDDEN, VOCABULARY = 3, 40, 64, 4000
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-4, torch.bfloat16: 2e-2}


def relative(found: Tensor, expected: Tensor) -> float:
    return float(((found - expected).norm() / expected.norm()).detach())


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_the_token_head_says_what_full_logits_say(
    dtype: torch.dtype, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In chunks of 32 tokens, against float64."""
    monkeypatch.setattr(chunked_logprobs, "CHUNK_ELEMENTS", 32 * VOCABULARY)
    torch.manual_seed(0)
    head = nn.Linear(HIDDEN, VOCABULARY).to(device, dtype)
    hidden = torch.randn(ROWS, LENGTH, HIDDEN).to(device, dtype).requires_grad_()
    tokens = torch.randint(VOCABULARY, (ROWS, LENGTH)).to(device)
    slope = torch.randn(ROWS, LENGTH, dtype=torch.float64).to(device)
    wanted = [hidden, *head.parameters()]

    exact = [tensor.detach().double().requires_grad_() for tensor in wanted]
    full = (nn.functional.linear(*exact) / 0.7).log_softmax(-1)
    expected = full.gather(-1, tokens[..., None])[..., 0]
    entropies = -(full.exp() * full).sum(-1)
    slopes = torch.autograd.grad((expected * slope).sum(), exact)

    chosen, found_entropies = TokenHead(head, 0.7)(hidden, tokens)
    found = torch.autograd.grad((chosen * slope).sum(), wanted)
    assert chosen.dtype is (torch.float64 if dtype is torch.float64 else torch.float32)
    assert relative(chosen, expected) < TOLERANCE[dtype]
    assert relative(found_entropies, entropies) < TOLERANCE[dtype]
    for one, other in zip(found, slopes, strict=True):
        assert relative(one, other) < TOLERANCE[dtype]


def learned(model: ActorCritic, batch: ReadyBatch) -> tuple[Tensor, Tensor]:
    """Log-probs and values of the batch, where tokens are, with the gradient of their sum left behind."""
    model.zero_grad()
    scores = model(batch)
    (scores.logprobs * batch.mask).sum().backward()
    (scores.values * batch.mask).sum().backward()
    return scores.logprobs.detach() * batch.mask, scores.values.detach() * batch.mask


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_packed_rows_give_what_padded_rows_give(
    dtype: torch.dtype, tolerance: float, device: torch.device
) -> None:
    model = ActorCritic(toy_model(dtype=dtype), 0.7, Critic()).to(device)
    with torch.no_grad():
        model.critic.head.weight.normal_()
    batch = to_batch(toy_groups(), device)
    found = {}
    for model.packs in (True, False):
        found[model.packs] = learned(model, batch), gradient(model)
    for one, other in zip(found[True][0], found[False][0], strict=True):
        assert relative(one, other) < tolerance
    assert_equal_gradients(found[False][1], found[True][1], tolerance)


@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("device", [pytest.param("cuda", marks=pytest.mark.gpu)])
def test_the_flash_kernel_attends_as_padded_bands_do(device: str, window: int | None) -> None:
    """In bfloat16, forward and backward, against float32. What the kernel is given is held against dense
    masks on a CPU, in `test_packing.py`."""
    if not has_flash():
        pytest.fail("torch has no varlen_attn with grouped heads: packed rows are padded for attention")
    rows = PackedRows(to_batch(toy_groups(), torch.device(device)))
    module = nn.Module()
    module.num_key_value_groups = 2
    torch.manual_seed(0)
    shapes = [(4, 64), (2, 64), (2, 64)]
    halves = [
        torch.randn(1, n, len(rows.tokens), d, device=device, dtype=torch.bfloat16, requires_grad=True)
        for n, d in shapes
    ]
    exact = [x.detach().float().requires_grad_() for x in halves]
    found, expected = (
        rows.attention(module, *x, scaling=0.2, sliding_window=window) for x in (halves, exact)
    )
    assert relative(found.float(), expected) < TOLERANCE[torch.bfloat16]
    slope = torch.randn_like(expected)
    by_halves = torch.autograd.grad((found * slope).sum(), halves)
    by_exact = torch.autograd.grad((expected * slope).sum(), exact)
    for one, other in zip(by_halves, by_exact, strict=True):
        assert relative(one.float(), other) < TOLERANCE[torch.bfloat16]
