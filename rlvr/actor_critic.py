"""Policy and critic in one module, so that one engine wraps, shards and steps both."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rlvr.algorithm import Critic
from rlvr.batch import Batch
from rlvr.token_head import TokenHead


class Scores(NamedTuple):
    """What a pass over a batch gives, [B, T] each. entropies carry no gradient; no critic, no values."""

    logprobs: Tensor
    entropies: Tensor
    values: Tensor | None


class ActorCritic(nn.Module):
    """A causal LM and, if asked for, a critic: a value head on a copy of its trunk or on the trunk itself.

    temperature: logits are divided by it.
    """

    def __init__(self, policy: nn.Module, temperature: float, critic: Critic | None = None):
        super().__init__()
        self.policy = policy
        self.head = TokenHead(policy.get_output_embeddings(), temperature)
        self.critic = None if critic is None else ValueModel(policy, own_trunk=critic.trunk == "copy")

    def critic_parameters(self) -> list[nn.Parameter]:
        """Parameters that are the critic's alone."""
        return [] if self.critic is None else list(self.critic.parameters())

    def forward(self, batch: Batch, critic_only: bool = False) -> Scores:
        """critic_only: no gradient reaches the policy, nor its trunk where the critic shares it."""
        inputs = model_inputs(batch)
        prompt, depth = batch.prompt_width, batch.mask.shape[1]
        with torch.no_grad() if critic_only else nullcontext():
            trunk = self.policy.get_decoder()
            hidden = trunk(**inputs, use_cache=False).last_hidden_state[:, prompt - 1 : prompt - 1 + depth]
            logprobs, entropies = self.head(hidden, batch.tokens[:, prompt:])
        values = None
        if self.critic is not None:
            values = self.critic(inputs, hidden, prompt)
        return Scores(logprobs, entropies, values)


class ValueModel(nn.Module):
    """A linear value head, zero at first, on a copy of the policy's trunk or on the policy's own."""

    def __init__(self, policy: nn.Module, own_trunk: bool):
        super().__init__()
        self.trunk = copy.deepcopy(policy.get_decoder()) if own_trunk else None
        weight = policy.get_output_embeddings().weight
        self.head = nn.Linear(weight.shape[1], 1, device=weight.device, dtype=weight.dtype)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, inputs: dict[str, Tensor], hidden: Tensor, prompt: int) -> Tensor:
        """hidden: the policy's [B, T, hidden] before each completion token. Returns values [B, T]."""
        if self.trunk is not None:
            own = self.trunk(**inputs, use_cache=False).last_hidden_state
            hidden = own[:, prompt - 1 : prompt - 1 + hidden.shape[1]]
        return full_precision(self.head(hidden)[..., 0])


def full_precision(x: Tensor) -> Tensor:
    """float32 for half-precision tensors, others as they are."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def model_inputs(batch: Batch) -> dict[str, Tensor]:
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
