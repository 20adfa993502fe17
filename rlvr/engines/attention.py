"""Attention of one new token a row that reads shared keys and values in place."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "grouped_sdpa"


def grouped_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """transformers' `sdpa`, except that for one token a row the query heads that share a key head stand as
    positions of one head, where `sdpa` copies the whole cache once for each of them.

    query: [b, heads, q, head_dim]; key, value: [b, key heads, k, head_dim]; attention_mask: [b, 1, q, k],
    added to the scores. Returns [b, q, heads, head_dim].
    """
    rows, heads, length, head_dim = query.shape
    if length > 1:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    grouped = query.reshape(rows, key.shape[1], -1, head_dim)
    out = scaled_dot_product_attention(grouped, key, value, attn_mask=attention_mask, scale=scaling)
    return out.reshape(rows, 1, heads, -1), None


def use_grouped_attention(model: PreTrainedModel) -> None:
    """Switches a transformers model that uses `sdpa`; others keep what they have."""
    if model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(NAME)


AttentionInterface.register(NAME, grouped_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
