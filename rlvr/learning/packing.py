"""A micro-batch as a model sees it: without padding, each group's prompt once before its completions.

Layers that treat every token alone see a row of tokens; only attention knows where the parts begin.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from rlvr.algorithms.batch import TokenBatch
from rlvr.engines.attention import use_grouped_attention
from rlvr.learning.packed_attention import PackedAttention, Spans

# Kinds of layers, as configurations name them, whose tokens meet in attention alone.
ATTENTION = {"full_attention", "sliding_attention"}


class Rows(Protocol):
    """A micro-batch laid out for a model. N: the tokens of all completions, row after row."""

    @property
    def answers(self) -> Tensor:
        """[N] int64, the tokens of the completions."""
        ...

    def states(self, trunk: Any) -> Tensor:
        """The trunk's last states [N, hidden] before each of them."""
        ...

    def spread(self, values: Tensor) -> Tensor:
        """[N] -> [B, T], 0 where no token is."""
        ...


class _Taken(Exception):
    """A layer took the layout."""


def packs(model: PreTrainedModel) -> bool:
    """Whether a model takes packed rows: its tokens meet in attention alone, which is transformers' `sdpa`.

    Such a model is switched to an attention that is `sdpa` for everyone else. The last word has its first
    layer, which is asked; the others are counted in every pass.
    """
    layers = set(getattr(model.config, "layer_types", None) or ATTENTION)
    backend = getattr(model, "_supports_attention_backend", False)
    if not backend or not layers <= ATTENTION or getattr(model, "_is_stateful", True):
        return False
    before = model.config._attn_implementation
    if not use_grouped_attention(model):
        return False
    try:
        with torch.no_grad():
            token = torch.zeros(1, 1, dtype=torch.int64, device=next(model.parameters()).device)
            model.get_decoder()(input_ids=token, use_cache=False, packed=_taken)
    except _Taken:
        return True
    model.set_attn_implementation(before)
    return False


def _taken(*_: Any, **__: Any) -> Tensor:
    raise _Taken


class _Laid:
    """What both layouts have: which cells of [B, T] hold a token."""

    def __init__(self, batch: TokenBatch):
        self.batch = batch
        lengths = batch.completion_len.cpu().numpy()
        real = np.arange(batch.mask.shape[1]) < lengths[:, None]
        self.real = real
        self.cells = torch.from_numpy(real.ravel().nonzero()[0]).to(batch.tokens.device)

    @property
    def answers(self) -> Tensor:
        return self.batch.tokens[:, self.batch.prompt_width :].flatten()[self.cells]

    def spread(self, values: Tensor) -> Tensor:
        shape = self.batch.mask.shape
        return values.new_zeros(shape.numel()).index_copy(0, self.cells, values).view(shape)


class PaddedRows(_Laid):
    """One row of the model for each of the batch's, padded on both sides."""

    def states(self, trunk: Any) -> Tensor:
        prompt, depth = self.batch.prompt_width, self.batch.mask.shape[1]
        states = trunk(**model_inputs(self.batch), use_cache=False).last_hidden_state
        return states[:, prompt - 1 : prompt - 1 + depth].flatten(0, 1).index_select(0, self.cells)


class PackedRows(_Laid):
    """All tokens one after another: a group's prompt, its completions without their last tokens, the next
    group. A completion sees its prompt and itself, and its positions go on from the prompt's."""

    def __init__(self, batch: TokenBatch):
        super().__init__(batch)
        device = batch.tokens.device
        spans, source, positions, before = _layout(batch, self.real)
        self.spans = spans
        self.tokens = batch.tokens.flatten()[torch.from_numpy(source).to(device)]
        self.positions = torch.from_numpy(positions).to(device)
        self.before = torch.from_numpy(before).to(device)

    def states(self, trunk: Any) -> Tensor:
        """Raises RuntimeError for a trunk some of whose layers did not take the layout."""
        attention = self.attention
        before = attention.calls
        states = trunk(
            input_ids=self.tokens[None],
            position_ids=self.positions[None],
            attention_mask=self._no_mask,
            use_cache=False,
            packed=attention,
        ).last_hidden_state
        took, layers = attention.calls - before, int(trunk.config.num_hidden_layers)
        if took != layers:
            raise RuntimeError(
                f"{took} of {layers} layers of {type(trunk).__name__} took packed rows, so the others mixed "
                "completions: rlvr.learning.packing.packs must say no to such a model"
            )
        return states[0].index_select(0, self.before)

    @cached_property
    def attention(self) -> PackedAttention:
        """One for all layers and trunks."""
        return PackedAttention(self.spans, self.batch.tokens.device)

    @property
    def _no_mask(self) -> Tensor:
        """Four axes, which transformers takes for a mask that is ready; nobody reads it."""
        return torch.ones(1, 1, 1, 1, dtype=torch.bool, device=self.batch.tokens.device)


def _layout(
    batch: TokenBatch, real: NDArray[np.bool_]
) -> tuple[Spans, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(spans, source [L], positions [L], before [N]): where each token is in the batch's flattened tokens,
    its place in its sequence, and the packed token before each of the completions'."""
    prompts = batch.prompt_len.cpu().numpy()
    own = np.maximum(real.sum(1) - 1, 0)  # nothing follows the last token
    labels, first, group = np.unique(batch.group.cpu().numpy(), return_index=True, return_inverse=True)
    # A part is a group's prompt or the rest of a row; a group's parts stand together, its prompt first.
    part_group = np.concatenate([np.arange(len(labels)), group])
    length = np.concatenate([prompts[first], own])
    order = np.argsort(part_group, kind="stable")
    start = np.empty_like(length)
    start[order] = np.cumsum(length[order]) - length[order]
    of_prompt, of_row = start[: len(labels)][group], start[len(labels) :]

    place = np.arange(int((prompts + own).max()))
    in_prompt = place < prompts[:, None]
    line = np.where(in_prompt, of_prompt[:, None] + place, of_row[:, None] + place - prompts[:, None])
    line[place >= (prompts + own)[:, None]] = -1

    width, columns = batch.prompt_width, batch.tokens.shape[1]
    positions = np.empty(int(length.sum()), np.int64)
    source = np.empty_like(positions)
    rows, places = (line >= 0).nonzero()
    packed = line[rows, places]
    positions[packed] = places
    source[packed] = rows * columns + width - prompts[rows] + places

    rows, answers = real.nonzero()
    before = line[rows, prompts[rows] - 1 + answers]
    keys = np.concatenate([np.where(in_prompt[first], line[first], -1), line])
    seen = np.concatenate([prompts[first], prompts + own])
    kept = order[length[order] > 0]
    return Spans(start[kept], length[kept], seen[kept], keys[kept]), source, positions, before


def model_inputs(batch: TokenBatch) -> dict[str, Tensor]:
    """input_ids, attention_mask and position_ids, [B, P+T] each, for a batch padded on both sides."""
    place = torch.arange(batch.tokens.shape[1], device=batch.tokens.device)
    prompt = batch.prompt_width
    real = place >= (prompt - batch.prompt_len)[:, None]
    real &= place < (prompt + batch.completion_len)[:, None]
    return {
        "input_ids": batch.tokens,
        "attention_mask": real.long(),
        "position_ids": (real.long().cumsum(1) - 1).clamp(min=0),
    }
