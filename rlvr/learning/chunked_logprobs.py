"""Log-probs and entropies of given tokens through the LM head, without ever building all logits.

Logits of a chunk of tokens exist at a time, in the forward pass and again in the backward pass.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

# Logits that exist at a time: 256 MiB in float32.
CHUNK_ELEMENTS = 2**26


class TokenHead(nn.Module):
    """Log-probs and entropies of given tokens by an LM head. temperature: logits are divided by it.

    The head stays part of its model; this module has no parameters of its own.
    """

    def __init__(self, head: nn.Linear, temperature: float):
        super().__init__()
        self._head = weakref.ref(head)  # not registered a second time
        self.temperature = temperature

    def forward(self, hidden: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """hidden: [..., hidden]; tokens: [...] int64. Returns (log-probs, entropies), [...] each, in float32
        or wider."""
        head = self._head()
        if head is None:
            raise RuntimeError("the model that this head belongs to is gone")
        logprobs, entropies = _TokenLogprobs.apply(
            hidden.flatten(0, -2), head.weight, head.bias, tokens.flatten(), self.temperature
        )
        return logprobs.view(tokens.shape), entropies.view(tokens.shape)

    def reverse_kl(self, hidden: Tensor, teacher: TeacherStates) -> Tensor:
        """KL(this distribution || the teacher's) before each token, over the tokens that both heads have.
        [...], in float32 or wider.

        hidden: [..., hidden]. Logits of both are divided by the temperature.
        """
        head = self._head()
        if head is None:
            raise RuntimeError("the model that this head belongs to is gone")
        size = min(len(head.weight), len(teacher.weight))

        def both(x: Tensor | None) -> Tensor | None:
            return x if x is None or len(x) == size else x[:size]

        own, its = (both(head.weight), both(head.bias)), (both(teacher.weight), both(teacher.bias))
        flat, theirs = hidden.flatten(0, -2), teacher.hidden.flatten(0, -2)
        return _ReverseKl.apply(flat, *own, theirs, *its, self.temperature).view(hidden.shape[:-1])


class TeacherStates(NamedTuple):
    """What a teacher's distributions are made of, without gradient. Heads are padded to several sizes in one
    family of models, so V may be another than the student's."""

    hidden: Tensor
    """[..., its hidden], before the same tokens as the student's"""
    weight: Tensor
    """[V, its hidden]"""
    bias: Tensor | None
    """[V]"""


class _TokenLogprobs(torch.autograd.Function):
    """hidden [N, hidden], weight [V, hidden], bias [V] or None, tokens [N] -> log-probs and entropies [N]."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, tokens: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        dtype = _compute_dtype(hidden)
        matrix = weight.to(dtype)
        logprobs = torch.empty(len(hidden), dtype=_wide(dtype), device=hidden.device)
        entropies, totals = torch.empty_like(logprobs), torch.empty_like(logprobs)
        for rows in _chunks(len(hidden), len(weight)):
            logits = _logits(hidden[rows], matrix, bias, temperature)
            totals[rows] = total = logits.logsumexp(-1)
            logprobs[rows] = logits.gather(-1, tokens[rows, None])[:, 0] - total
            # Not vecdot, which autocast would run in halves.
            entropies[rows] = total - (logits - total[:, None]).exp_().mul_(logits).sum(-1)
        ctx.save_for_backward(hidden, weight, bias, tokens, totals, entropies)
        ctx.temperature, ctx.dtype = temperature, dtype
        ctx.set_materialize_grads(False)  # None for entropies that no loss is made of
        return logprobs, entropies

    @staticmethod
    def backward(ctx: Any, slope: Tensor | None, entropy_slope: Tensor | None) -> tuple[Tensor | None, ...]:
        """slope, entropy_slope: [N], of the loss by each log-prob and entropy; None is zeros.

        d log-prob / d logits = onehot - p; d entropy / d logits = -p (log p + entropy).
        """
        hidden, weight, bias, tokens, totals, entropies = ctx.saved_tensors
        slope = torch.zeros_like(totals) if slope is None else slope
        made = _Gradients(ctx, hidden, weight, bias)
        for rows in _chunks(len(hidden), len(weight)):
            logits = _logits(hidden[rows], made.matrix, bias, ctx.temperature)
            logits.sub_(totals[rows, None])
            by_entropy = None
            if entropy_slope is not None:
                by_entropy = (logits + entropies[rows, None]).mul_(logits.exp())
                by_entropy.mul_((entropy_slope[rows] / -ctx.temperature)[:, None])
            by_logits = logits.exp_().neg_()
            by_logits.scatter_add_(-1, tokens[rows, None], torch.ones_like(by_logits[:, :1]))
            by_logits.mul_((slope[rows] / ctx.temperature)[:, None])
            if by_entropy is not None:
                by_logits.add_(by_entropy)
            made.add(rows, by_logits)
        return (*made.done(), None, None)


# Hidden states [N, hidden], weight [V, hidden], bias [V].
_Head = tuple[Tensor, Tensor, Tensor | None]


class _ReverseKl(torch.autograd.Function):
    """Heads and hidden states of student and teacher -> sum over v of p_v (log p_v - log q_v), [N].

    d KL / d logit_v = p_v (log p_v - log q_v - KL), through the student's hidden state, weight and bias.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        its_hidden: Tensor,
        its_weight: Tensor,
        its_bias: Tensor | None,
        temperature: float,
    ) -> Tensor:
        ctx.dtype, ctx.temperature = _compute_dtype(hidden), temperature
        own, its = (hidden, weight, bias), (its_hidden, its_weight, its_bias)
        divergence = torch.empty(len(hidden), dtype=_wide(ctx.dtype), device=hidden.device)
        for rows in _chunks(len(hidden), len(weight)):
            p, apart = _ReverseKl._of_chunk(ctx, rows, own, its)
            divergence[rows] = p.mul_(apart).sum(-1)
        ctx.save_for_backward(*own, *its, divergence)
        return divergence

    @staticmethod
    def _of_chunk(ctx: Any, rows: slice, *models: _Head) -> tuple[Tensor, Tensor]:
        """p and log p - log q of every token, [n, V] each. models: the student's, the teacher's."""
        own, its = (
            _logits(hidden[rows], weight.to(ctx.dtype), bias, ctx.temperature).log_softmax(-1)
            for hidden, weight, bias in models
        )
        return own.exp(), own - its

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        """slope: [N], of the loss by each divergence."""
        *models, divergence = ctx.saved_tensors
        made = _Gradients(ctx, *models[:3])
        for rows in _chunks(len(divergence), len(models[1])):
            p, apart = _ReverseKl._of_chunk(ctx, rows, tuple(models[:3]), tuple(models[3:]))
            by_logits = apart.sub_(divergence[rows, None]).mul_(p)
            made.add(rows, by_logits.mul_((slope[rows] / ctx.temperature)[:, None]))
        return (*made.done(), None, None, None, None)


class _Gradients:
    """What the gradient by a chunk's logits adds to those by hidden states [N, hidden], weight and bias."""

    def __init__(self, ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None):
        to_hidden, to_weight, to_bias = ctx.needs_input_grad[:3]
        self.dtype, self.hidden, self.weight, self.bias = ctx.dtype, hidden, weight, bias
        self.matrix = weight.to(ctx.dtype)
        self.by_hidden = torch.empty_like(hidden) if to_hidden else None
        self.by_weight = torch.zeros_like(weight, dtype=_wide(weight.dtype)) if to_weight else None
        self.by_bias = (
            None if bias is None or not to_bias else torch.zeros_like(bias, dtype=_wide(bias.dtype))
        )

    def add(self, rows: slice, by_logits: Tensor) -> None:
        """by_logits: [n, V], in at least float32."""
        if self.by_bias is not None:
            self.by_bias += by_logits.sum(0)
        by_logits = by_logits.to(self.dtype)
        if self.by_hidden is not None:
            self.by_hidden[rows] = (by_logits @ self.matrix).to(self.hidden.dtype)
        if self.by_weight is not None:
            _add_product(self.by_weight, by_logits.t(), self.hidden[rows].to(self.dtype))

    def done(self) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        return (
            self.by_hidden,
            None if self.by_weight is None else self.by_weight.to(self.weight.dtype),
            None if self.by_bias is None or self.bias is None else self.by_bias.to(self.bias.dtype),
        )


def _logits(hidden: Tensor, matrix: Tensor, bias: Tensor | None, temperature: float) -> Tensor:
    """[n, V], multiplied in the matrix's dtype and then at least float32."""
    bias = None if bias is None else bias.to(matrix.dtype)
    logits = nn.functional.linear(hidden.to(matrix.dtype), matrix, bias).to(_wide(matrix.dtype))
    return logits if temperature == 1 else logits.div_(temperature)


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left @ right; in place where the dtypes allow it."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right


def _chunks(tokens: int, vocabulary: int) -> Iterator[slice]:
    size = max(1, CHUNK_ELEMENTS // vocabulary)
    for start in range(0, tokens, size):
        yield slice(start, start + size)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _compute_dtype(hidden: Tensor) -> torch.dtype:
    kind = hidden.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
