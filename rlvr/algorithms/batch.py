"""The tensors that flow through one training step. Each stage returns a new batch with its own fields filled.

Shapes: B rows (one completion each), P prompt width, T completion width. A row's prompt is padded on
the left to P, its completion on the right to T, so completion token t of every row stands at P + t.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # so that configuration can be validated without loading torch
    from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Scored completions of one rank. Groups are whole: a group's rows are never split over ranks."""

    tokens: Tensor  # [B, P+T] int64
    prompt_len: Tensor  # [B] int64
    completion_len: Tensor  # [B] int64
    mask: Tensor  # [B, T] float32, 1 where a token is trained on
    group: Tensor  # [B] int64, equal for completions of one problem; unique over all ranks
    truncated: Tensor  # [B] bool, cut at the token limit
    correct: Tensor  # [B] bool
    rewards: Tensor  # [B] float32
    greedy_rewards: Tensor | None = None  # [B] reward of the problem's greedy completion
    engine_logprobs: Tensor | None = None  # [B, T] of the sampled distribution, by the engine
    old_logprobs: Tensor | None = None  # [B, T] by the trainer before the update; None: ratio is 1
    ref_logprobs: Tensor | None = None  # [B, T] by the reference model; None without KL
    kl_rewards: Tensor | None = (
        None  # [B, T] minus coefficient times KL; None if it is not paid in the reward
    )
    values: Tensor | None = None  # [B, T] by the critic before the update, of the state before each token
    advantages: Tensor | None = None  # [B, T]
    returns: Tensor | None = None  # [B, T] the critic's targets
    weights: Tensor | None = None  # [B, T] each token's share of the loss of one optimizer step

    def __len__(self) -> int:
        return self.tokens.shape[0]

    @property
    def prompt_width(self) -> int:
        return self.tokens.shape[1] - self.mask.shape[1]

    def with_(self, **filled: Any) -> Batch:
        """A copy with the given fields filled."""
        return replace(self, **filled)

    def select(self, rows: Tensor) -> Batch:
        """The given rows ([b] int64), with padding trimmed to the longest prompt and completion left."""
        prompt = int(self.prompt_len[rows].max())
        completion = max(1, int(self.completion_len[rows].max()))
        start = self.prompt_width - prompt

        def cut(name: str, value: Tensor) -> Tensor:
            value = value[rows]
            if name == "tokens":
                return value[:, start : self.prompt_width + completion]
            return value[:, :completion] if value.ndim == 2 else value

        filled = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}
        return Batch(**{name: cut(name, value) for name, value in filled.items()})


@dataclass(frozen=True)
class Counts:
    """What one optimizer step trains on, summed over all ranks. Rows without trained tokens do not count,
    nor do groups without such rows. longest: the token limit of a completion."""

    tokens: float
    completions: float
    groups: float
    longest: int
