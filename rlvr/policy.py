"""The policy, its critic and its frozen reference on Accelerate: log-probs, values, the one backward pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rlvr.actor_critic import ActorCritic, Scores
from rlvr.algorithm import Critic
from rlvr.batch import Batch
from rlvr.config import Optim, PolicyConfig
from rlvr.micro_batches import micro_batch_rows, micro_batches
from rlvr.models import without_dropout

CRITIC_FILE = "critic.safetensors"


class Objective(NamedTuple):
    """A micro-batch's share of an optimizer step.

    loss and sums add up over shares, of peaks the largest counts.
    """

    loss: Tensor
    sums: Mapping[str, Tensor]
    peaks: Mapping[str, Tensor]


class Update(NamedTuple):
    """What one optimizer step did. skipped: loss or gradient was not finite, the weights are unchanged."""

    metrics: dict[str, float]
    skipped: bool


class Policy:
    """The trained model with its optimizer; every rank holds one.

    temperature: logits are divided by it, so that log-probs are those of the sampled distribution.
    """

    def __init__(
        self,
        model: nn.Module,
        config: PolicyConfig,
        optim: Optim,
        accelerator: Accelerator,
        temperature: float,
        reference: nn.Module | None = None,
        critic: Critic | None = None,
    ):
        self.accelerator = accelerator
        self.optim = optim
        if config.gradient_checkpointing:
            without_dropout(model).gradient_checkpointing_enable({"use_reentrant": False})
        together = ActorCritic(model, temperature, critic)
        groups = [{"params": list(model.parameters()), "lr": optim.lr}]
        if critic is not None:
            groups.append({"params": together.critic_parameters(), "lr": critic.lr})
        self._rates = [group["lr"] for group in groups]
        optimizer = torch.optim.AdamW(groups, betas=optim.betas, weight_decay=optim.weight_decay)
        self.model, self.optimizer = accelerator.prepare(together, optimizer)
        self.reference = None
        if reference is not None:
            frozen = ActorCritic(reference.requires_grad_(False), temperature)
            self.reference = frozen.to(accelerator.device)
        self.updates = 0

    @property
    def plain(self) -> ActorCritic:
        """The model without what Accelerate wrapped around it."""
        return self.accelerator.unwrap_model(self.model)

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """The policy's current weights, for an engine's `load`."""
        yield from self.plain.policy.named_parameters()

    def scores(self, batch: Batch) -> Scores:
        """Log-probs, entropies and values by the current weights, [B, T] each."""
        return self._scored(self.model, batch)

    def ref_logprobs(self, batch: Batch) -> Tensor:
        """[B, T], by the reference."""
        if self.reference is None:
            raise RuntimeError("the policy was built without a reference model")
        return self._scored(self.reference, batch).logprobs

    def update(
        self,
        batch: Batch,
        objective: Callable[[Scores, Batch], Objective],
        critic_only: bool = False,
    ) -> Update:
        """One optimizer step on a mini-batch whose `weights` are filled.

        objective: (scores, micro-batch) -> its share. critic_only: the policy gets no gradient. All ranks
        skip the step together if anything is not finite on one of them.
        """
        pieces = self._even(micro_batches(batch, self.optim.micro_batch_tokens))
        self.optimizer.zero_grad()
        sums: dict[str, float] = {}
        peaks: dict[str, float] = {}
        for i, piece in enumerate(pieces):
            with self._gradient_synced(last=i + 1 == len(pieces)):
                share = objective(self.model(piece, critic_only), piece)
                self._backward(share.loss)
            for name, value in {"loss/total": share.loss, **share.sums}.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach())
            for name, value in share.peaks.items():
                peaks[name] = max(peaks.get(name, -math.inf), float(value.detach()))
        metrics = self._over_ranks(sums, peaks) | self._clipped_norms()
        metrics["loss/lr"] = self.optim.lr * self._warmup()
        finite = [metrics[n] for n in ("loss/total", "loss/grad_norm", "critic/grad_norm") if n in metrics]
        skipped = not all(map(math.isfinite, finite))
        if not skipped:
            for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
                group["lr"] = rate * self._warmup()
            self.optimizer.step()
            self.updates += 1
        return Update(metrics, skipped)

    def save(self, policy: Path, trainer: Path) -> None:
        """The policy in Hugging Face format; the critic beside the trainer's state."""
        self.plain.policy.save_pretrained(policy, safe_serialization=True)
        if self.plain.critic is not None:
            save_file(self.plain.critic.state_dict(), trainer / CRITIC_FILE)

    def state(self) -> dict[str, Any]:
        """What a resume needs besides the weights."""
        return {"optimizer": self.optimizer.state_dict(), "updates": self.updates}

    def restore(self, state: Mapping[str, Any], trainer: Path) -> None:
        """Takes back what `state` gave and the critic; the policy's weights are loaded by the caller."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.updates = state["updates"]
        if self.plain.critic is not None:
            self.plain.critic.load_state_dict(load_file(trainer / CRITIC_FILE))

    @torch.no_grad()
    def _scored(self, model: nn.Module, batch: Batch) -> Scores:
        """Scores of the whole batch, computed in micro-batches."""
        filled: dict[str, Tensor] = {}
        for rows in micro_batch_rows(batch, self.optim.micro_batch_tokens):
            scores = model(batch.select(rows))
            for name, values in scores._asdict().items():
                if values is not None:
                    whole = filled.setdefault(name, values.new_zeros(batch.mask.shape))
                    whole[rows, : values.shape[1]] = values
        return Scores(**{"values": None, **filled})  # type: ignore[arg-type]

    def _even(self, pieces: list[Batch]) -> list[Batch]:
        """Every rank runs as many backward passes as the busiest: weightless copies fill up."""
        count = torch.tensor([len(pieces)], device=self.accelerator.device)
        most = int(self.accelerator.gather(count).max())
        empty = pieces[0].with_(weights=torch.zeros_like(pieces[0].mask), mask=pieces[0].mask * 0)
        return pieces + [empty] * (most - len(pieces))

    def _gradient_synced(self, last: bool) -> AbstractContextManager[Any]:
        """Ranks exchange gradients in the last forward and backward pass alone."""
        return nullcontext() if last else self.accelerator.no_sync(self.model)

    def _backward(self, loss: Tensor) -> None:
        """Adds the gradient of a sum over all ranks' micro-batches.

        The only place that knows the scales of others: DDP averages over ranks, so each rank's share is
        multiplied by their number; accumulation is ours, so Accelerate divides by 1.
        """
        self.accelerator.backward(loss * self.accelerator.num_processes)

    def _clipped_norms(self) -> dict[str, float]:
        """Clips the gradient of policy and critic apart; the norms from before."""
        limit, plain = self.optim.max_grad_norm, self.plain
        norms = {}
        if any(p.grad is not None for p in plain.policy.parameters()):
            norm = self.accelerator.clip_grad_norm_(plain.policy.parameters(), limit)
            norms["loss/grad_norm"] = float(norm)
        if plain.critic is not None:
            norms["critic/grad_norm"] = float(
                self.accelerator.clip_grad_norm_(plain.critic_parameters(), limit)
            )
        return norms

    def _over_ranks(self, sums: Mapping[str, float], peaks: Mapping[str, float]) -> dict[str, float]:
        """Sums added and peaks compared over all ranks."""
        device = self.accelerator.device
        own = torch.tensor([[*sums.values(), *peaks.values()]], dtype=torch.float64, device=device)
        rows = self.accelerator.gather(own)
        totals, largest = rows[:, : len(sums)].sum(0).tolist(), rows[:, len(sums) :].amax(0).tolist()
        return dict(zip([*sums, *peaks], [*totals, *largest], strict=True))

    def _warmup(self) -> float:
        """The share of its learning rate that the next update gets."""
        return min(1.0, (self.updates + 1) / max(1, self.optim.warmup_steps))
