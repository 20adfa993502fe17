"""Frozen models beside the policy: the reference from which KL is taken, and a teacher."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from rlvr.algorithms.batch import TokenBatch
from rlvr.learning.actor_critic import ActorCritic, Scores
from rlvr.learning.chunked_logprobs import TeacherStates
from rlvr.learning.parallel import Parallel
from rlvr.models.lora import merged_weights

FILE = "reference.safetensors"


class Reference:
    """The base, or what the policy was at a reset. temperature: logits are divided by it."""

    def __init__(
        self, model: PreTrainedModel, temperature: float, parallel: Parallel, accelerator: Accelerator
    ):
        self.model = model.requires_grad_(False)
        self.parallel = parallel
        self.accelerator = accelerator
        self.scores = parallel.frozen(ActorCritic(model, temperature))
        self.moved = False

    def __call__(self, batch: TokenBatch) -> Scores:
        return self.scores(batch)

    @torch.no_grad()
    def become(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Takes over the weights, all of them, by name. All ranks call it."""
        own = dict(self.model.named_parameters())
        for name, value in weights:
            with self.parallel.written([parameter := own.pop(name)]):
                parameter.copy_(value)
        if own:
            raise RuntimeError(f"the reference got no weights for {', '.join(own)}")
        self.moved = True

    def save(self, trainer: Path) -> None:
        """Its weights, if they are no longer the base's. All ranks call it."""
        if not self.moved:
            return
        weights = {}
        for name, value in merged_weights(self.model, self.parallel.whole):
            if self.accelerator.is_main_process:
                weights[name] = value.cpu().clone().contiguous()
        if self.accelerator.is_main_process:
            save_file(weights, trainer / FILE)

    def restore(self, trainer: Path) -> None:
        if (trainer / FILE).exists():
            self.become(load_file(trainer / FILE, device="cpu").items())


class TeacherModel(ActorCritic):
    """A model that gives scores, or the states before completions' tokens."""

    def forward(self, batch: TokenBatch, states: bool = False) -> Any:  # type: ignore[override]
        """`Scores`; with `states` the last hidden states [N, hidden], N the tokens of all completions."""
        return self.laid(batch).states(self.policy.get_decoder()) if states else super().forward(batch)


class Teacher:
    """A model from which the policy learns. temperature: logits are divided by it, as the policy's are."""

    def __init__(self, model: PreTrainedModel, temperature: float, parallel: Parallel):
        own = TeacherModel(model.requires_grad_(False), temperature)
        self.scores = parallel.frozen(own)
        head = model.get_output_embeddings()
        with parallel.whole([head.weight] if head.bias is None else [head.weight, head.bias]):
            self.weight = head.weight.detach().clone()  # whole, where the model is held in shards
            self.bias = None if head.bias is None else head.bias.detach().clone()

    def __call__(self, batch: TokenBatch) -> Scores:
        return self.scores(batch)

    @torch.no_grad()
    def states(self, batch: TokenBatch) -> TeacherStates:
        """What its distributions before the completions' tokens are made of."""
        return TeacherStates(self.scores(batch, True), self.weight, self.bias)
