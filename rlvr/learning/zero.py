"""Training states sharded over processes by DeepSpeed: ZeRO (arXiv 1910.02054), stages 2 and 3."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import deepspeed
import torch
from accelerate import Accelerator
from deepspeed.runtime.zero import GatheredParameters, register_external_parameter
from torch import Tensor, nn

from rlvr.core.checkpoint import CheckpointError
from rlvr.learning.actor_critic import ActorCritic
from rlvr.learning.parallel import Step

TAG = "shards"
ZERO_3 = 3


class Shards:
    """Each rank holds a share of gradients and optimizer (ZeRO-2), and of the weights too (ZeRO-3).

    DeepSpeed clips the gradients of policy and critic together. In bfloat16 it keeps the fp32 weights.
    """

    def __init__(self, model: ActorCritic, optimizer: torch.optim.Optimizer, accelerator: Accelerator):
        self.config = accelerator.state.deepspeed_plugin.deepspeed_config
        self.model, _ = accelerator.prepare(model, optimizer)
        self.engine = self.model
        _hold_head(self.plain)

    @property
    def plain(self) -> ActorCritic:
        return self.engine.module

    @contextmanager
    def synced(self, last: bool) -> Iterator[None]:
        self.engine.set_gradient_accumulation_boundary(last)
        yield

    def backward(self, loss: Tensor) -> None:
        # DeepSpeed averages over ranks; accumulation is ours, so it divides by 1.
        self.engine.backward(loss * self.engine.dp_world_size)

    def step(self, rates: Sequence[float], finite: bool) -> Step:
        # A loss that is not finite has such a gradient, which DeepSpeed finds by itself on all ranks.
        for group, rate in zip(self.engine.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self.engine.step()
        norm = float(self.engine.get_global_grad_norm())
        return Step({"loss/grad_norm": norm}, not self.engine.was_step_applied())

    def whole(self, parameters: Sequence[nn.Parameter]) -> AbstractContextManager[Any]:
        return GatheredParameters(list(parameters))

    def written(self, parameters: Sequence[nn.Parameter]) -> AbstractContextManager[Any]:
        return GatheredParameters(list(parameters), modifier_rank=0)

    def forget(self) -> None:
        for state in self.engine.optimizer.optimizer.state.values():
            for name, value in state.items():
                state[name] = value.zero_() if isinstance(value, Tensor) else 0

    def frozen(self, model: ActorCritic) -> Callable[..., Any]:
        if self.engine.zero_optimization_stage() < ZERO_3:
            return model.to(self.engine.device, next(self.plain.parameters()).dtype)
        engine, *_ = deepspeed.initialize(model=model, config=self.config)
        _hold_head(model)
        engine.eval()
        return engine

    def state(self) -> dict[str, Any]:
        """This rank's share of the critic, of the optimizer, and of the fp32 weights where they are apart."""
        named = () if self.plain.critic is None else self.plain.critic.named_parameters()
        critic = {name: getattr(value, "ds_tensor", value).detach() for name, value in named}
        groups = self.engine.optimizer.param_groups
        own = [value.detach() for group in groups for value in group["params"]]
        states = [dict(one) for one in self.engine.optimizer.optimizer.state.values()]
        return {"critic": critic, "weights": own, "optimizer": states}

    def save(self, directory: Path) -> None:
        self.engine.save_checkpoint(str(directory), tag=TAG, exclude_frozen_parameters=True)

    def restore(self, directory: Path) -> None:
        path, _ = self.engine.load_checkpoint(str(directory), tag=TAG, load_module_strict=False)
        if path is None:
            raise CheckpointError(f"{directory}: DeepSpeed found nothing to go on from")


def _hold_head(model: ActorCritic) -> None:
    """The head's weights are used by a module that does not own them, which ZeRO-3 must be told."""
    register_external_parameter(model.head, model.policy.get_output_embeddings().weight)
