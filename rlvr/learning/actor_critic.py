"""Policy and critic in one module, so that one engine wraps, shards and steps both."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rlvr.algorithms.batch import TokenBatch
from rlvr.algorithms.bundle import Critic
from rlvr.learning.chunked_logprobs import TeacherStates, TokenHead
from rlvr.learning.micro_batches import packed_rows, padded_rows
from rlvr.learning.packing import PackedRows, PaddedRows, Rows, packs


class Scores(NamedTuple):
    """What a pass over a batch gives, [B, T] each, 0 where no token is; no critic, no values. teacher_kl:
    KL(policy || teacher) over the vocabulary, where the pass was given a teacher's states."""

    logprobs: Tensor
    entropies: Tensor
    values: Tensor | None
    teacher_kl: Tensor | None = None


class ActorCritic(nn.Module):
    """A causal LM and, if asked for, a critic: a value head on a copy of its trunk or on the trunk itself.

    temperature: logits are divided by it.
    """

    def __init__(self, policy: PreTrainedModel, temperature: float, critic: Critic | None = None):
        super().__init__()
        self.packs = packs(policy)
        self.policy = policy
        self.head = TokenHead(policy.get_output_embeddings(), temperature)
        self.critic = None if critic is None else ValueModel(policy, own_trunk=critic.trunk == "copy")

    def critic_parameters(self) -> list[nn.Parameter]:
        """Trained parameters that are the critic's alone. Under adapters its trunk has a copy of them, and
        the rest of it is frozen."""
        if self.critic is None:
            return []
        return [parameter for parameter in self.critic.parameters() if parameter.requires_grad]

    def laid(self, batch: TokenBatch) -> Rows:
        """The batch as the models take it."""
        return PackedRows(batch) if self.packs else PaddedRows(batch)

    def micro_batches(self, batch: TokenBatch, max_tokens: int, parts: int = 1) -> list[Tensor]:
        """Row indices of the micro-batches that fit the budget. parts: so many, where the models allow it."""
        return packed_rows(batch, max_tokens, parts) if self.packs else padded_rows(batch, max_tokens)

    def forward(
        self, batch: TokenBatch, critic_only: bool = False, teacher: TeacherStates | None = None
    ) -> Scores:
        """critic_only: no gradient reaches the policy, nor its trunk where the critic shares it."""
        rows = self.laid(batch)
        with torch.no_grad() if critic_only else nullcontext():
            hidden = rows.states(self.policy.get_decoder())
            logprobs, entropies = self.head(hidden, rows.answers)
            apart = None if teacher is None else rows.spread(self.head.reverse_kl(hidden, teacher))
        values = None if self.critic is None else rows.spread(self.critic(rows, hidden))
        return Scores(rows.spread(logprobs), rows.spread(entropies), values, apart)


class ValueModel(nn.Module):
    """A linear value head, zero at first, on a copy of the policy's trunk or on the policy's own."""

    def __init__(self, policy: PreTrainedModel, own_trunk: bool):
        super().__init__()
        self.trunk = copy.deepcopy(policy.get_decoder()) if own_trunk else None
        weight = policy.get_output_embeddings().weight
        self.head = nn.Linear(weight.shape[1], 1, device=weight.device, dtype=weight.dtype)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, rows: Rows, hidden: Tensor) -> Tensor:
        """hidden: the policy's [N, hidden] before each completion token. Returns values [N]."""
        if self.trunk is not None:
            hidden = rows.states(self.trunk)
        return full_precision(self.head(hidden)[..., 0])


def full_precision(x: Tensor) -> Tensor:
    """float32 for half-precision tensors, others as they are."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
