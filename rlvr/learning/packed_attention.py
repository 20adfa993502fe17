"""Attention over packed rows: each part attends to its prompt and to itself, and to nothing else."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from rlvr.learning.micro_batches import cheapest_cuts

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # torch before 2.10
    varlen_attn = None  # type: ignore[assignment]

# What a call of the padded kernel costs beside its scores, in scores of one head.
CALL = 2**13
# Head sizes that the flash kernel takes.
LARGEST_HEAD = 256


class Spans(NamedTuple):
    """Parts of packed rows, in the order in which they stand. S parts, W keys of the widest."""

    start: NDArray[np.int64]
    """[S] the first token"""
    length: NDArray[np.int64]
    """[S] at least 1"""
    seen: NDArray[np.int64]
    """[S] keys: those of the tokens before it, and its own"""
    keys: NDArray[np.int64]
    """[S, W] where they stand, in order; -1 beyond"""


class _Band(NamedTuple):
    """Parts that are computed together, padded on the right: n parts of q queries and k keys."""

    queries: Tensor
    """[n * q] packed tokens"""
    keys: Tensor
    """[n * k]"""
    last: Tensor
    """[n, q] the last key that each query sees"""


class PackedAttention:
    """What transformers' attention layers call instead of their own, for one layout.

    On a GPU in half precision it is a flash kernel for sequences of any length, elsewhere `sdpa` in bands of
    parts of about the same length. calls: of layers so far, those of a backward pass that computes again too.
    """

    def __init__(self, spans: Spans, device: torch.device):
        self.spans = spans
        self.device = device
        self.calls = 0
        self._bands: tuple[list[_Band], Tensor] | None = None
        self._sequences: tuple[Tensor, ...] | None = None
        self._masks: dict[tuple[int, int | None, torch.dtype], Tensor] = {}

    def __call__(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        scaling: float | None = None,
        dropout: float = 0.0,
        sliding_window: int | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """query: [1, heads, L, head_dim]; key, value: [1, key heads, L, head_dim]. Returns [1, L, heads,
        head_dim]. sliding_window: keys that a query sees, itself among them."""
        self.calls += 1
        queries, keys, values = flat = [x[0].transpose(0, 1) for x in (query, key, value)]
        if _takes_flash(queries, keys, values) and not dropout:
            return self.flash(queries, keys, values, scaling, sliding_window)[None]
        outputs = []
        bands, place = self._padded()
        for number, band in enumerate(bands):
            parts = len(band.last)
            q, k, v = (
                x.index_select(0, at).unflatten(0, (parts, -1)).transpose(1, 2)
                for x, at in zip(flat, (band.queries, band.keys, band.keys), strict=True)
            )
            mask = self._mask(number, sliding_window, q.dtype)
            out, _ = sdpa_attention_forward(module, q, k, v, mask, dropout=dropout, scaling=scaling, **kwargs)
            outputs.append(out.flatten(0, 1))
        return torch.cat(outputs).index_select(0, place)[None]

    def flash(
        self, query: Tensor, key: Tensor, value: Tensor, scaling: float | None, window: int | None
    ) -> Tensor:
        """[L, heads, head_dim] by torch's flash kernel, whose last query of a sequence sees its last key."""
        at, begin_queries, begin_keys = self._lines()
        out = varlen_attn(
            query.contiguous(),
            key.index_select(0, at),
            value.index_select(0, at),
            begin_queries,
            begin_keys,
            int(self.spans.length.max()),
            int(self.spans.seen.max()),
            scale=scaling,
            window_size=(-1 if window is None else window - 1, 0),
            enable_gqa=True,
        )
        assert isinstance(out, Tensor)  # and not what it computed on the way besides
        return out

    def _lines(self) -> tuple[Tensor, ...]:
        """(where the keys of all parts stand, where each part's queries begin, and its keys)."""
        if self._sequences is None:
            spans = self.spans
            ends = [np.concatenate([[0], np.cumsum(n)]).astype(np.int32) for n in (spans.length, spans.seen)]
            made = [spans.keys[spans.keys >= 0], *ends]
            self._sequences = tuple(torch.from_numpy(x).to(self.device) for x in made)
        return self._sequences

    def _padded(self) -> tuple[list[_Band], Tensor]:
        """The bands, and for each packed token its place among their outputs, one after another."""
        if self._bands is None:
            start, length, seen, keys = self.spans
            order = np.lexsort((-seen, -length))
            bands, place, done = [], np.empty(int(length.sum()), np.int64), 0
            for parts in np.split(order, cheapest_cuts(length[order], seen[order], _scores, CALL)):
                column = np.arange(length[parts].max())
                real = column < length[parts, None]
                queries = np.where(real, start[parts, None] + column, 0)
                place[queries[real]] = done + real.ravel().nonzero()[0]
                done += real.size
                of_keys = np.maximum(keys[parts, : seen[parts].max()], 0)
                last = np.minimum((seen - length)[parts, None] + column, seen[parts, None] - 1)
                made = (queries.ravel(), of_keys.ravel(), last)
                bands.append(_Band(*(torch.from_numpy(x).to(self.device) for x in made)))
            self._bands = bands, torch.from_numpy(place).to(self.device)
        return self._bands

    def _mask(self, number: int, window: int | None, dtype: torch.dtype) -> Tensor:
        """[n, 1, q, k] of a band, added to the scores: one for all layers."""
        if (number, window, dtype) not in self._masks:
            band = self._padded()[0][number]
            place = torch.arange(len(band.keys) // len(band.last), device=self.device)
            hidden = place > band.last[..., None]
            if window is not None:
                hidden |= place <= band.last[..., None] - window
            added = torch.zeros(hidden.shape, dtype=dtype, device=self.device)
            self._masks[number, window, dtype] = added.masked_fill_(hidden, -torch.inf)[:, None]
        return self._masks[number, window, dtype]


def _scores(parts: NDArray[np.int64], queries: NDArray[np.int64], keys: NDArray[np.int64]) -> NDArray[Any]:
    return parts * queries * keys


def _takes_flash(query: Tensor, key: Tensor, value: Tensor) -> bool:
    half = query.is_cuda and query.dtype in (torch.float16, torch.bfloat16)
    sizes = query.shape[-1] == value.shape[-1] <= LARGEST_HEAD
    return half and sizes and key.dtype == value.dtype == query.dtype and has_flash()


def has_flash() -> bool:
    """Whether this torch has the flash kernel for sequences of any length, with grouped heads and a scale."""
    return varlen_attn is not None and {"enable_gqa", "scale"} <= {*inspect.signature(varlen_attn).parameters}
