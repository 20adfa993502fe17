"""The chunked LM head gives what full logits give, forward and backward, and never builds them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rlvr.learning import chunked_logprobs
from rlvr.learning.chunked_logprobs import TeacherStates, TokenHead

ROWS, LENGTH, HIDDEN, VOCABULARY = 3, 7, 12, 50


def inputs(dtype: torch.dtype, bias: bool = False) -> tuple[nn.Linear, Tensor, Tensor, Tensor]:
    """A head, hidden states, tokens, and the slope of a loss by each log-prob."""
    torch.manual_seed(0)
    head = nn.Linear(HIDDEN, VOCABULARY, bias=bias, dtype=dtype)
    hidden = torch.randn(ROWS, LENGTH, HIDDEN, dtype=dtype, requires_grad=True)
    tokens = torch.randint(VOCABULARY, (ROWS, LENGTH))
    return head, hidden, tokens, torch.randn(ROWS, LENGTH, dtype=torch.float64)


def by_full_logits(
    head: nn.Linear, hidden: Tensor, tokens: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    logprobs = (head(hidden) / temperature).log_softmax(-1)
    return logprobs.gather(-1, tokens[..., None])[..., 0], -(logprobs.exp() * logprobs).sum(-1)


@pytest.fixture(params=[1, 4, 10_000], ids=lambda tokens: f"chunks of {tokens}")
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked_logprobs, "CHUNK_ELEMENTS", request.param * VOCABULARY)


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("bias", [False, True])
def test_equals_full_logits(temperature: float, bias: bool) -> None:
    head, hidden, tokens, slope = inputs(torch.float64, bias)
    wanted = [hidden, *head.parameters()]
    full, entropies = by_full_logits(head, hidden, tokens, temperature)
    chosen, found_entropies = TokenHead(head, temperature)(hidden, tokens)
    torch.testing.assert_close(chosen, full, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(found_entropies, entropies, atol=1e-12, rtol=1e-12)
    for by_logprob, by_entropy in ((1.0, 0.0), (0.0, 1.0), (0.7, -0.4)):
        ours, theirs = (
            torch.autograd.grad(
                (by_logprob * a * slope + by_entropy * b * slope.flip(0)).sum(), wanted, retain_graph=True
            )
            for a, b in ((chosen, found_entropies), (full, entropies))
        )
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, atol=1e-12, rtol=1e-12)


def test_a_loss_of_entropies_alone_has_their_gradient() -> None:
    head, hidden, tokens, slope = inputs(torch.float64)
    _, expected = by_full_logits(head, hidden, tokens, 1.0)
    _, found = TokenHead(head, 1.0)(hidden, tokens)
    torch.testing.assert_close(
        *(torch.autograd.grad((entropies * slope).sum(), hidden)[0] for entropies in (found, expected)),
        atol=1e-12,
        rtol=1e-12,
    )


def test_gradient_by_finite_differences() -> None:
    head, hidden, tokens, _ = inputs(torch.float64)
    ours = TokenHead(head, 0.7)
    assert torch.autograd.gradcheck(lambda h: ours(h, tokens)[0], hidden)


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize(
    ("bias", "its_vocabulary"), [(False, VOCABULARY), (True, VOCABULARY), (False, 57), (True, 40)]
)
def test_reverse_kl_equals_that_of_full_distributions(bias: bool, its_vocabulary: int) -> None:
    """A head that is padded to another size is compared over the tokens that both have."""
    head, hidden, _, slope = inputs(torch.float64, bias)
    torch.manual_seed(1)
    its = nn.Linear(9, its_vocabulary, bias=bias, dtype=torch.float64)
    states = torch.randn(ROWS, LENGTH, 9, dtype=torch.float64)
    both = min(VOCABULARY, its_vocabulary)
    logp, logq = (
        (model(x)[..., :both] / 0.7).log_softmax(-1) for model, x in ((head, hidden), (its, states))
    )
    expected = (logp.exp() * (logp - logq.detach())).sum(-1)
    teacher = TeacherStates(states, its.weight.detach(), None if its.bias is None else its.bias.detach())
    found = TokenHead(head, 0.7).reverse_kl(hidden, teacher)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)
    assert (found > 0).all()
    wanted = [hidden, *head.parameters()]
    ours, theirs = (torch.autograd.grad((x * slope).sum(), wanted) for x in (found, expected))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=1e-12)


def test_reverse_kl_to_itself_is_0_without_a_gradient() -> None:
    head, hidden, _, _ = inputs(torch.float64)
    found = TokenHead(head, 1.0).reverse_kl(
        hidden, TeacherStates(hidden.detach(), head.weight.detach(), None)
    )
    assert found.abs().max() < 1e-12
    assert torch.autograd.grad(found.sum(), hidden)[0].abs().max() < 1e-12


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_agrees_with_trl(dtype: torch.dtype) -> None:
    head, hidden, tokens, slope = inputs(dtype)
    slope = slope.float()
    theirs = trl_logprobs(head, hidden, tokens, 0.6)
    chosen, _ = TokenHead(head, 0.6)(hidden, tokens)
    # Both round the products to bfloat16, in another order.
    tolerance = 1e-5 if dtype is torch.float32 else 2e-2
    torch.testing.assert_close(chosen, theirs, atol=tolerance, rtol=tolerance)
    wanted = [hidden, head.weight]
    expected = torch.autograd.grad((theirs * slope).sum(), wanted)
    found = torch.autograd.grad((chosen * slope).sum(), wanted)
    for one, other in zip(found, expected, strict=True):
        assert float((one - other).norm() / other.norm()) < tolerance


def trl_logprobs(head: nn.Linear, hidden: Tensor, tokens: Tensor, temperature: float) -> Tensor:
    trl = pytest.importorskip("trl.kernels.chunked_logprob", reason="needs TRL (make install-test)")
    flat = trl.ChunkedLogProbFunction.apply(
        hidden.flatten(0, 1), head.weight, None, tokens.flatten(), temperature, 16, None, 1.0, ("entropy",)
    )
    return flat[0].view(tokens.shape)


def test_no_tensor_is_as_large_as_all_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked_logprobs, "CHUNK_ELEMENTS", 2 * VOCABULARY)
    head, hidden, tokens, slope = inputs(torch.float32)
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            nonlocal largest
            out = function(*args, **(kwargs or {}))
            for tensor in out if isinstance(out, tuple) else (out,):
                if isinstance(tensor, Tensor):
                    largest = max(largest, tensor.numel())
            return out

    with Watch():
        chosen, _ = TokenHead(head, 1.0)(hidden, tokens)
        (chosen * slope.float()).sum().backward()
    assert largest == head.weight.numel() < ROWS * LENGTH * VOCABULARY


def test_entropies_under_autocast_are_not_computed_in_halves() -> None:
    head, hidden, tokens, _ = inputs(torch.float32)
    head.weight.data *= 20  # logits of some size, whose products halves would round to quarters
    with torch.autocast("cpu", torch.bfloat16):
        _, found = TokenHead(head, 1.0)(hidden, tokens)
        logits = nn.functional.linear(hidden, head.weight).float()
    logprobs = logits.log_softmax(-1)
    expected = -(logprobs.exp() * logprobs).sum(-1)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
