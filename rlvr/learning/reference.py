"""The frozen model from which KL is taken: the base, or what the policy was at a reset."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from rlvr.algorithms.batch import TokenBatch
from rlvr.learning.actor_critic import ActorCritic, Scores
from rlvr.learning.parallel import Parallel
from rlvr.models.lora import merged_weights

FILE = "reference.safetensors"


class Reference:
    """temperature: logits are divided by it."""

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
