"""A key-value cache of slots: completions of different lengths come and go, the others stay in place."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache


class SlotCache(Cache):
    """Every layer's keys and values, [slots, heads, capacity, head_dim] each, allocated when first used.

    Each slot holds one sequence from column 0 on. A forward pass adds one token to each of the first
    slots, at the columns that `extend` named. Columns that no token was written to are zero.
    """

    def __init__(self, slots: int, capacity: int):
        super().__init__(layers=[])
        self._shape = slots, capacity
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []

    def place(self, prompts: Cache, rows: Tensor, slots: Tensor) -> None:
        """Copies sequence rows[i] of another cache into slots[i]."""
        layer: Any  # transformers has kinds of layers without keys; they never get here
        for index, layer in enumerate(prompts.layers):
            keys, values = self._layer(index, layer.keys)
            width = layer.keys.shape[2]
            keys[slots, :, :width] = layer.keys[rows]
            values[slots, :, :width] = layer.values[rows]

    def move(self, sources: Tensor, targets: Tensor, width: int) -> None:
        """Copies the first `width` columns of slots `sources` into slots `targets`."""
        for part in (*self._keys, *self._values):
            part[targets, :, :width] = part[sources, :, :width]

    def extend(self, columns: Tensor, width: int) -> None:
        """The next forward pass writes slot i's token to columns[i], and reads `width` columns of all.

        columns: [b] int64, for the first b slots.
        """
        self._columns, self._width = columns, width
        self._rows = torch.arange(len(columns), device=columns.device)

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Takes one token a slot, [b, heads, 1, head_dim], of one layer.

        Returns the keys and values that are attended to, [b, heads, width, head_dim].
        """
        keys, values = self._layer(layer_idx, key_states)
        keys[self._rows, :, self._columns] = key_states[:, :, 0]
        values[self._rows, :, self._columns] = value_states[:, :, 0]
        live = len(self._rows)
        return keys[:live, :, : self._width], values[:live, :, : self._width]

    def _layer(self, index: int, like: Tensor) -> tuple[Tensor, Tensor]:
        if index == len(self._keys):
            slots, capacity = self._shape
            # Zeros, since what is masked is still multiplied by 0, and 0 times an arbitrary float may be NaN.
            for parts in (self._keys, self._values):
                parts.append(like.new_zeros(slots, like.shape[1], capacity, like.shape[3]))
        return self._keys[index], self._values[index]
