"""Policy and critic in one module, so that one engine wraps, shards and steps both."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache

from rlvr.algorithms.batch import TokenBatch
from rlvr.algorithms.bundle import Critic
from rlvr.learning.chunked_logprobs import TokenHead


class Scores(NamedTuple):
    """What a pass over a batch gives, [B, T] each. entropies carry no gradient; no critic, no values."""

    logprobs: Tensor
    entropies: Tensor
    values: Tensor | None


class ActorCritic(nn.Module):
    """A causal LM and, if asked for, a critic: a value head on a copy of its trunk or on the trunk itself.

    temperature: logits are divided by it.
    """

    def __init__(self, policy: PreTrainedModel, temperature: float, critic: Critic | None = None):
        super().__init__()
        self.policy = policy
        self.head = TokenHead(policy.get_output_embeddings(), temperature)
        self.critic = None if critic is None else ValueModel(policy, own_trunk=critic.trunk == "copy")

    def critic_parameters(self) -> list[nn.Parameter]:
        """Trained parameters that are the critic's alone. Under adapters its trunk has a copy of them, and
        the rest of it is frozen."""
        if self.critic is None:
            return []
        return [parameter for parameter in self.critic.parameters() if parameter.requires_grad]

    def forward(self, batch: TokenBatch, critic_only: bool = False) -> Scores:
        """critic_only: no gradient reaches the policy, nor its trunk where the critic shares it."""
        with torch.no_grad() if critic_only else nullcontext():
            hidden = states_before(self.policy.get_decoder(), batch)
            logprobs, entropies = self.head(hidden, batch.tokens[:, batch.prompt_width :])
        values = None if self.critic is None else self.critic(batch, hidden)
        return Scores(logprobs, entropies, values)


class ValueModel(nn.Module):
    """A linear value head, zero at first, on a copy of the policy's trunk or on the policy's own."""

    def __init__(self, policy: PreTrainedModel, own_trunk: bool):
        super().__init__()
        self.trunk = copy.deepcopy(policy.get_decoder()) if own_trunk else None
        weight = policy.get_output_embeddings().weight
        self.head = nn.Linear(weight.shape[1], 1, device=weight.device, dtype=weight.dtype)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, batch: TokenBatch, hidden: Tensor) -> Tensor:
        """hidden: the policy's [B, T, hidden] before each completion token. Returns values [B, T]."""
        if self.trunk is not None:
            hidden = states_before(self.trunk, batch)
        return full_precision(self.head(hidden)[..., 0])


def states_before(trunk: nn.Module, batch: TokenBatch) -> Tensor:
    """The trunk's last states [B, T, hidden] before each completion token.

    If the trunk can continue from a cache, the prompt of a group goes through it once for all its rows.
    """
    inputs = model_inputs(batch)
    prompt, depth = batch.prompt_width, batch.mask.shape[1]
    groups, row_group = batch.group.unique(return_inverse=True)
    if len(groups) == len(batch) or not _continues_from_cache(trunk):
        whole = trunk(**inputs, use_cache=False).last_hidden_state
        return whole[:, prompt - 1 : prompt - 1 + depth]
    rows = torch.arange(len(batch), device=row_group.device)
    first = torch.full_like(groups, len(batch)).scatter_reduce(0, row_group, rows, "amin")
    cache = DynamicCache()
    prompts = {name: value[first, :prompt] for name, value in inputs.items()}
    last = trunk(**prompts, past_key_values=cache, use_cache=True).last_hidden_state[:, -1:]
    if depth == 1:
        return last.index_select(0, row_group)
    layer: Any  # transformers has kinds of layers without keys, which were ruled out above
    for layer in cache.layers:  # indexing's own backward pass adds in no fixed order
        layer.keys = layer.keys.index_select(0, row_group)
        layer.values = layer.values.index_select(0, row_group)
    drawn = {name: value[:, prompt:-1] for name, value in inputs.items()}
    drawn["attention_mask"] = inputs["attention_mask"][:, :-1]
    rest = trunk(**drawn, past_key_values=cache, use_cache=True).last_hidden_state
    return torch.cat([last.index_select(0, row_group), rest], 1)


def _continues_from_cache(trunk: nn.Module) -> bool:
    """Whether the trunk can continue from a cache of keys and values, with a gradient.

    Not with gradient checkpointing or a sliding window; nor with sharded weights, since all ranks must
    then call it equally often.
    """
    recomputes = trunk.training and trunk.is_gradient_checkpointing
    layers = getattr(trunk.config, "layer_types", None) or ["full_attention"]
    sharded = any(hasattr(parameter, "ds_id") for parameter in trunk.parameters())
    return not recomputes and not sharded and set(layers) == {"full_attention"}


def full_precision(x: Tensor) -> Tensor:
    """float32 for half-precision tensors, others as they are."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def model_inputs(batch: TokenBatch) -> dict[str, Tensor]:
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
