"""A key-value cache of slots: completions of different lengths come and go, the others stay in place."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache


class SlotCache(Cache):
    """Every layer's keys and values, [slots, heads, capacity, head_dim] each, allocated when first used.

    Each slot holds one sequence from column 0 on. A forward pass adds one token to each of the first
    slots, at the columns that `extend` named. Columns beyond a sequence hold finite numbers.
    """

    def __init__(self) -> None:
        super().__init__(layers=[])
        self._shape = 0, 0
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []

    def reserve(self, slots: int, capacity: int) -> None:
        """Room for so many slots and columns at least; what the slots hold stays."""
        held = self._shape
        self._shape = max(slots, held[0]), max(capacity, held[1])
        if self._shape == held:
            return
        for parts in (self._keys, self._values):
            for layer, part in enumerate(parts):
                parts[layer] = self._zeros(part)
                parts[layer][: held[0], :, : held[1]] = part

    def place(self, prompts: Cache, rows: Tensor, slots: Tensor) -> None:
        """Copies sequence rows[i] of another cache into slots[i]."""
        layer: Any  # transformers has kinds of layers without keys; they never get here
        for index, layer in enumerate(prompts.layers):
            keys, values = self._layer(index, layer.keys)
            width = min(layer.keys.shape[2], self._shape[1])
            keys[slots, :, :width] = layer.keys[rows, :, :width]
            values[slots, :, :width] = layer.values[rows, :, :width]

    def move(self, sources: Tensor, targets: Tensor, width: int) -> None:
        """Copies the first `width` columns of slots `sources` into slots `targets`, all at once."""
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
            for parts in (self._keys, self._values):
                parts.append(self._zeros(like))
        return self._keys[index], self._values[index]

    def _zeros(self, like: Tensor) -> Tensor:
        """Zeros, since what is masked is still multiplied by 0, and 0 times an arbitrary float may be NaN."""
        slots, capacity = self._shape
        return like.new_zeros(slots, like.shape[1], capacity, like.shape[3])
