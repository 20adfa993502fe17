"""How training is spread over processes: the protocol, and replicas (DDP). Shards: `rlvr.learning.zero`.

Losses, gradients and steps go through these two modules, which know what Accelerate, DDP and DeepSpeed
do to them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from rlvr.learning.actor_critic import ActorCritic

STATE_FILE = "replica.pt"


def not_finite(tree: Any, name: str = "") -> list[str]:
    """Names of the tensors in dictionaries and lists that hold an infinity or no number."""
    if isinstance(tree, Tensor):
        wrong = tree.is_floating_point() and not bool(torch.isfinite(tree).all())
        return [name] if wrong else []
    if isinstance(tree, float):
        return [] if math.isfinite(tree) else [name]
    inner = tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, list) else ()
    return [bad for key, value in inner for bad in not_finite(value, f"{name}.{key}" if name else str(key))]


class Step(NamedTuple):
    """norms: of the gradient before clipping, by metric name. skipped: something was not finite on some
    rank, and no rank's weights have changed."""

    norms: dict[str, float]
    skipped: bool


class Parallel(Protocol):
    """A wrapped model with its optimizer, whose parameter groups are the policy's and then the critic's."""

    model: Callable[..., Any]

    @property
    def plain(self) -> ActorCritic:
        """The model without what is wrapped around it."""
        ...

    def synced(self, last: bool) -> AbstractContextManager[Any]:
        """Context for the forward and backward pass of a micro-batch. last: of this optimizer step."""
        ...

    def backward(self, loss: Tensor) -> None:
        """Adds the gradient of the sum of `loss` over all micro-batches and ranks."""
        ...

    def step(self, rates: Sequence[float], finite: bool) -> Step:
        """Clips, and steps with a learning rate for each parameter group, unless something is not finite.

        finite: whether the loss is, on all ranks.
        """
        ...

    def whole(self, parameters: Sequence[nn.Parameter]) -> AbstractContextManager[Any]:
        """Context in which the parameters can be read in full. All ranks enter it together."""
        ...

    def written(self, parameters: Sequence[nn.Parameter]) -> AbstractContextManager[Any]:
        """Context in which the parameters can be changed in full, by all ranks alike."""
        ...

    def forget(self) -> None:
        """The optimizer is as it was before its first step."""
        ...

    def frozen(self, model: ActorCritic) -> Callable[..., Any]:
        """Another model, placed and run like the trained one, but never trained."""
        ...

    def state(self) -> Any:
        """What this rank holds of critic and optimizer: tensors in dictionaries and lists."""
        ...

    def save(self, directory: Path) -> None:
        """Writes what a resume needs besides the policy's weights; called on all ranks."""
        ...

    def restore(self, directory: Path) -> None:
        """Restores what `save` wrote, with the same number of processes."""
        ...


class Replicas:
    """Every rank holds all weights; DDP averages gradients in the last backward pass of a step.

    limit: the gradient of policy and of critic are each clipped to this norm.
    """

    def __init__(
        self, model: ActorCritic, optimizer: torch.optim.Optimizer, accelerator: Accelerator, limit: float
    ):
        self.accelerator = accelerator
        self.limit = limit
        self.model, self.optimizer = accelerator.prepare(model, optimizer)

    @property
    def plain(self) -> ActorCritic:
        return self.accelerator.unwrap_model(self.model)

    def synced(self, last: bool) -> AbstractContextManager[Any]:
        return nullcontext() if last else self.accelerator.no_sync(self.model)

    def backward(self, loss: Tensor) -> None:
        # DDP averages over ranks; accumulation is ours, so Accelerate divides by 1.
        self.accelerator.backward(loss * self.accelerator.num_processes)

    def step(self, rates: Sequence[float], finite: bool) -> Step:
        norms = {}
        for name, parameters in self._parts().items():
            if any(p.grad is not None for p in parameters):
                norms[name] = float(self.accelerator.clip_grad_norm_(parameters, self.limit))
        skipped = not finite or not all(map(math.isfinite, norms.values()))
        if not skipped:
            for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
            self.optimizer.step()
        self.optimizer.zero_grad()
        return Step(norms, skipped)

    def whole(self, parameters: Sequence[nn.Parameter]) -> AbstractContextManager[Any]:
        return nullcontext()

    def written(self, parameters: Sequence[nn.Parameter]) -> AbstractContextManager[Any]:
        return nullcontext()

    def forget(self) -> None:
        self.optimizer.optimizer.state.clear()

    def frozen(self, model: ActorCritic) -> Callable[..., Any]:
        model = model.to(self.accelerator.device)

        def computed(*args: Any) -> Any:
            with self.accelerator.autocast():
                return model(*args)

        return computed

    def state(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer.state_dict(), "critic": self._critic_state()}

    def save(self, directory: Path) -> None:
        if self.accelerator.is_main_process:
            torch.save(self.state(), directory / STATE_FILE)

    def restore(self, directory: Path) -> None:
        state = torch.load(directory / STATE_FILE, map_location="cpu", weights_only=True)
        self.optimizer.load_state_dict(state["optimizer"])
        if self.plain.critic is not None:
            self.plain.critic.load_state_dict({**self.plain.critic.state_dict(), **state["critic"]})

    def _critic_state(self) -> dict[str, Tensor]:
        """Its trained parameters; the others are made again from the policy."""
        critic = self.plain.critic
        named = () if critic is None else critic.named_parameters()
        return {name: value.detach() for name, value in named if value.requires_grad}

    def _parts(self) -> dict[str, list[nn.Parameter]]:
        plain = self.plain
        parts = {"loss/grad_norm": list(plain.policy.parameters())}
        return parts if plain.critic is None else {**parts, "critic/grad_norm": plain.critic_parameters()}
