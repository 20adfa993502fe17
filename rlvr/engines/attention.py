"""The attention of the project's models: transformers' `sdpa`, but for decoding and for packed rows.

One new token a row reads shared keys and values in place, and few columns in vain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from rlvr.engines.bands import Band

NAME = "grouped_sdpa"


def grouped_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    bands: Sequence[Band] | None = None,
    packed: Callable[..., Tensor] | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """transformers' `sdpa`, except that for one token a row the query heads that share a key head stand as
    positions of one head, where `sdpa` copies the whole cache once for each of them.

    query: [b, heads, q, head_dim]; key, value: [b, key heads, k, head_dim]; attention_mask: [b, 1, q, k],
    added to the scores. bands: the rows that read fewer than k columns. packed: computes the attention in
    place of all this (`rlvr.learning.packed_attention`). Returns [b, q, heads, head_dim].
    """
    if packed is not None:
        return packed(module, query, key, value, scaling=scaling, **kwargs), None
    rows, heads, length, head_dim = query.shape
    if length > 1:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    grouped = query.reshape(rows, key.shape[1], -1, head_dim)
    positions = grouped.shape[2]
    if positions % 2 and torch.get_num_threads() > 1:  # see `rlvr.engines.bands`
        grouped = nn.functional.pad(grouped, (0, 0, 0, 1))
    parts = []
    for first, last, width in bands or ((0, rows, key.shape[2]),):
        at = slice(first, last)
        mask = None if attention_mask is None else attention_mask[at, ..., :width]
        keys, values = key[at, :, :width], value[at, :, :width]
        parts.append(scaled_dot_product_attention(grouped[at], keys, values, attn_mask=mask, scale=scaling))
    return torch.cat(parts)[:, :, :positions].reshape(rows, 1, heads, -1), None


def use_grouped_attention(model: PreTrainedModel) -> bool:
    """Switches a transformers model that uses `sdpa`; others stay. Whether its attention takes `bands` and
    `packed`."""
    if model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(NAME)
    return model.config._attn_implementation == NAME


AttentionInterface.register(NAME, grouped_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
