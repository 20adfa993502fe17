"""The policy, its critic and its frozen reference on Accelerate: log-probs, values, the one backward pass."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import Accelerator
from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedModel

from rlvr.algorithms.batch import TokenBatch, WeightedBatch
from rlvr.algorithms.bundle import Critic
from rlvr.config.schema import OptimConfig, PolicyConfig
from rlvr.core.errors import UserError
from rlvr.learning.actor_critic import ActorCritic, Scores
from rlvr.learning.optimizer import decay_groups, make_optimizer, rate_share
from rlvr.learning.parallel import Parallel, Replicas, not_finite
from rlvr.learning.reference import Reference, Teacher
from rlvr.models.loading import without_dropout
from rlvr.models.lora import merged_weights

POLICY_FILE = "policy.pt"


class Objective(NamedTuple):
    """A micro-batch's share of an optimizer step: loss and sums add up, of peaks the largest counts."""

    loss: Tensor
    sums: Mapping[str, Tensor]
    peaks: Mapping[str, Tensor]


class Update(NamedTuple):
    """What one optimizer step did. skipped: loss or gradient was not finite, the weights are unchanged."""

    metrics: dict[str, float]
    skipped: bool


class NonFiniteError(UserError):
    """What is trained is not finite, so it is no checkpoint; the message names tensors."""


class Policy:
    """The trained model with its optimizer; every rank holds one.

    temperature: logits are divided by it, so that log-probs are those of the sampled distribution.
    adapters: the wrapper of `model`, if only adapters in it are trained. all_updates: of the whole run, over
    which the learning rate falls.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        config: PolicyConfig,
        optim: OptimConfig,
        accelerator: Accelerator,
        temperature: float,
        reference: PreTrainedModel | None = None,
        critic: Critic | None = None,
        adapters: PeftModel | None = None,
        all_updates: int = 0,
        teacher: PreTrainedModel | None = None,
    ):
        self.accelerator = accelerator
        self.optim = optim
        self.all_updates = all_updates
        self.adapters = adapters
        if config.gradient_checkpointing:
            without_dropout(model).gradient_checkpointing_enable({"use_reentrant": False})
        together = ActorCritic(model, temperature, critic)
        if not together.packs and accelerator.is_main_process:
            warnings.warn(
                f"{type(model).__name__} does not take packed rows, so every row has its own prompt and "
                "padding: the same gradient, more slowly",
                stacklevel=2,
            )
        groups = decay_groups([p for p in model.parameters() if p.requires_grad], optim.lr, optim)
        self._of_policy = len(groups)
        if critic is not None:
            groups += decay_groups(together.critic_parameters(), critic.lr, optim)
        self._rates = [group["lr"] for group in groups]
        optimizer = make_optimizer(groups, optim)
        self.parallel: Parallel
        if config.zero:
            from rlvr.learning.zero import Shards  # imports DeepSpeed

            self.parallel = Shards(together, optimizer, accelerator)
        else:
            self.parallel = Replicas(together, optimizer, accelerator, optim.max_grad_norm)
        self.reference: Reference | None = None
        if reference is not None:
            self.reference = Reference(reference, temperature, self.parallel, accelerator)
        self.teacher = None if teacher is None else Teacher(teacher, temperature, self.parallel)
        self.updates = 0

    @property
    def plain(self) -> ActorCritic:
        """The model without what is wrapped around it."""
        return self.parallel.plain

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """The policy's current weights, adapters merged, for an engine's `load`. All ranks iterate it."""
        return merged_weights(self.plain.policy, self.parallel.whole)

    def scores(self, batch: TokenBatch) -> Scores:
        """Log-probs, entropies and values by the current weights, [B, T] each."""
        return self._score(self.parallel.model, batch)

    def ref_logprobs(self, batch: TokenBatch) -> Tensor:
        """[B, T], by the reference: a model of its own, or the policy with its adapters switched off."""
        if self.reference is not None:
            return self._score(self.reference, batch).logprobs
        if self.adapters is None:
            raise RuntimeError("the policy was built without a reference model")
        with self.adapters.disable_adapter():
            return self._score(self.parallel.model, batch).logprobs

    def teacher_logprobs(self, batch: TokenBatch) -> Tensor:
        """[B, T], by the teacher."""
        if self.teacher is None:
            raise RuntimeError("the policy was built without a teacher")
        return self._score(self.teacher, batch).logprobs

    def reset_reference(self) -> None:
        """The reference becomes the policy, and the optimizer forgets: ProRL, arXiv 2505.24864."""
        if self.reference is None:
            raise RuntimeError("the policy was built without a reference model of its own")
        self.reference.become(self.weights())
        self.parallel.forget()

    def update(
        self,
        batch: WeightedBatch,
        objective: Callable[[Scores, WeightedBatch], Objective],
        critic_only: bool = False,
        taught: bool = False,
    ) -> Update:
        """One optimizer step on a mini-batch.

        objective: (scores, micro-batch) -> its share. critic_only: the policy gets no gradient. taught: the
        scores have the KL to the teacher over the vocabulary. All ranks skip the step together if anything
        is not finite on one of them.
        """
        rows, idle = self._micro_batches(batch)
        pieces = [batch.select(one) for one in rows] + [_without_weight(batch)] * idle
        sums: dict[str, float] = {}
        peaks: dict[str, float] = {}
        for i, piece in enumerate(pieces):
            states = self.teacher.states(piece) if taught and self.teacher else None
            with self.parallel.synced(last=i + 1 == len(pieces)):
                share = objective(self.parallel.model(piece, critic_only, states), piece)
                self.parallel.backward(share.loss)
            for name, value in {"loss/total": share.loss, **share.sums}.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach())
            for name, value in share.peaks.items():
                peaks[name] = max(peaks.get(name, -math.inf), float(value.detach()))
        metrics = self._over_ranks({**sums, "train/idle_passes": idle}, peaks)
        falling = rate_share(self.optim, self.updates, self.all_updates)
        rates = [rate * falling for rate in self._rates]
        if critic_only:
            rates[: self._of_policy] = [0.0] * self._of_policy
        step = self.parallel.step(rates, math.isfinite(metrics["loss/total"]))
        self.updates += not step.skipped
        return Update({**metrics, **step.norms, "loss/lr": self.optim.lr * falling}, step.skipped)

    def save(self, policy: Path, trainer: Path) -> None:
        """The policy in Hugging Face format, or its adapters; beside it what a resume needs. On all ranks.

        Raises NonFiniteError, on all of them, where anything that is trained is not finite.
        """
        weights = {}
        bad: list[str] = []
        for name, value in self._trained():  # on all ranks, which may hold shards of it
            bad += not_finite({name: value})
            if self.accelerator.is_main_process:
                weights[name] = value.cpu()
        bad += not_finite(self.parallel.state())
        self._check_finite(bad)
        if self.accelerator.is_main_process:
            saved = self.adapters or self.plain.policy
            saved.save_pretrained(str(policy), state_dict=weights, safe_serialization=True)
            torch.save({"updates": self.updates}, trainer / POLICY_FILE)
        self.parallel.save(trainer)
        if self.reference is not None:
            self.reference.save(trainer)

    def _check_finite(self, bad: Sequence[str]) -> None:
        """bad: names of what is not finite on this rank."""
        found = torch.tensor([len(bad)], device=self.accelerator.device)
        if not self.accelerator.gather(found).any():
            return
        named = ", ".join(bad[:3]) or "tensors of another process"
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise NonFiniteError(f"{named}{more} hold numbers that are not finite")

    def restore(self, trainer: Path) -> None:
        """Restores what `save` wrote beside the policy; the caller loads the policy's weights."""
        self.updates = torch.load(trainer / POLICY_FILE, weights_only=True)["updates"]
        self.parallel.restore(trainer)
        if self.reference is not None:
            self.reference.restore(trainer)

    def _trained(self) -> Iterator[tuple[str, Tensor]]:
        """What a checkpoint holds: every weight, or only the adapters."""
        if self.adapters is None:
            yield from self.weights()
            return
        for name, parameter in self.adapters.named_parameters():
            if parameter.requires_grad:
                with self.parallel.whole([parameter]):
                    yield name, parameter.detach()

    @torch.no_grad()
    def _score(self, model: Callable[..., Scores], batch: TokenBatch) -> Scores:
        """Scores of the whole batch, computed in micro-batches."""
        filled: dict[str, Tensor] = {}
        pieces, idle = self._micro_batches(batch)
        for rows in pieces + [_shortest(batch)] * idle:
            scores = model(batch.select(rows))
            for name, values in scores._asdict().items():
                if values is not None:
                    whole = filled.setdefault(name, values.new_zeros(batch.mask.shape))
                    whole[rows, : values.shape[1]] = values
        return Scores(**{"values": None, **filled})  # type: ignore[arg-type]

    def _micro_batches(self, batch: TokenBatch) -> tuple[list[Tensor], int]:
        """(rows of each, passes to add): all ranks make as many passes, since each takes part in every one.

        Rather than add passes a rank cuts its rows into more micro-batches.
        """
        budget = self.optim.micro_batch_tokens
        rows = self.plain.micro_batches(batch, budget)
        count = torch.tensor([len(rows)], device=self.accelerator.device)
        most = int(self.accelerator.gather(count).max())
        if len(rows) < most:
            rows = self.plain.micro_batches(batch, budget, most)
        return rows, most - len(rows)

    def _over_ranks(self, sums: Mapping[str, float], peaks: Mapping[str, float]) -> dict[str, float]:
        """Sums added and peaks compared over all ranks."""
        device = self.accelerator.device
        own = torch.tensor([[*sums.values(), *peaks.values()]], dtype=torch.float64, device=device)
        rows = self.accelerator.gather(own)
        totals, largest = rows[:, : len(sums)].sum(0).tolist(), rows[:, len(sums) :].amax(0).tolist()
        return dict(zip([*sums, *peaks], [*totals, *largest], strict=True))


def _shortest(batch: TokenBatch) -> Tensor:
    """The row [1] that is cheapest to compute."""
    return (batch.prompt_len + batch.completion_len).argmin()[None]


def _without_weight(batch: WeightedBatch) -> WeightedBatch:
    """A micro-batch that takes part in a pass and changes nothing."""
    one = batch.select(_shortest(batch))
    return replace(one, weights=torch.zeros_like(one.mask), mask=torch.zeros_like(one.mask))
