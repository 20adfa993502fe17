"""Which weights a vLLM server holds: a sum over all of them, which its workers answer when they are asked.

The server's workers take `Weights` as their extension (`launch/server.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor

EXTENSION = f"{__name__}.Weights"
# The extension's method, as it is asked for.
METHOD = "weights_sum"


def bits_sum(tensors: Iterable[Tensor]) -> int:
    """The sum of all numbers' bits, read as integers, modulo 2^64: another one for other weights, and the
    same however they are joined, cut or padded with zeros."""
    import torch

    total = 0
    for tensor in tensors:
        bits = tensor.detach().view(getattr(torch, f"int{8 * tensor.element_size()}"))
        total += int(bits.sum(dtype=torch.int64))
    return total % 2**64


class _Worker(Protocol):
    def get_model(self) -> Any: ...


class Weights:
    """What is added to a worker of vLLM."""

    def weights_sum(self: _Worker) -> dict[str, int]:
        """Over its own part of the weights."""
        return {"sum": bits_sum(parameter.data for parameter in self.get_model().parameters())}
