"""A key-value cache that is allocated once per generation instead of being copied at every token."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer


class PreallocatedLayer(DynamicLayer):
    """One layer's keys and values [rows, heads, length, head_dim], with room for `capacity` tokens.

    `keys` and `values` are views of the filled part. Updates beyond the capacity are an IndexError.
    """

    def __init__(self, capacity: int):
        super().__init__()
        self.capacity = capacity

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if end > self.capacity:
            raise IndexError(f"the cache holds {self.capacity} tokens, {end} are needed")
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            rows, heads, _, head_dim = key_states.shape
            self._keys = key_states.new_empty(rows, heads, self.capacity, head_dim)
            self._values = value_states.new_empty(rows, heads, self.capacity, head_dim)
        self._keys[:, :, start:end] = key_states
        self._values[:, :, start:end] = value_states
        self._view(end)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keeps the given rows, in the given order; a row may be taken more than once."""
        length = self.get_seq_length()
        self._keys, self._values = self._keys[indices], self._values[indices]
        self._view(length)

    def _view(self, length: int) -> None:
        self.keys = self._keys[:, :, :length]
        self.values = self._values[:, :, :length]


def preallocated_cache(layers: int, capacity: int) -> Cache:
    """An empty cache for a model of so many layers and prompts plus completions of so many tokens."""
    return Cache(layers=[PreallocatedLayer(capacity) for _ in range(layers)])


def select_rows(cache: Cache, rows: Tensor) -> None:
    """Keeps the given rows ([b] int64) of every layer."""
    with torch.inference_mode():
        cache.batch_select_indices(rows)
