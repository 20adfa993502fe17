"""What one training step does with a batch: score -> credit -> update."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch
from accelerate import Accelerator
from torch import Tensor

from rlvr.algorithms.batch import Batch, Counts
from rlvr.algorithms.bundle import Algorithm
from rlvr.algorithms.formulas import advantages, losses
from rlvr.algorithms.formulas.masks import selected
from rlvr.config.schema import OptimConfig, RolloutConfig
from rlvr.core.seeds import derive_seed
from rlvr.learning.actor_critic import Scores
from rlvr.learning.off_policy import correction_factor, mismatch_metrics, mismatch_peaks, mismatch_sums
from rlvr.learning.policy import Objective, Policy

# What a batch holds for each completion token, besides the mask.
TOKEN_FIELDS = (
    "engine_logprobs", "old_logprobs", "ref_logprobs", "kl_rewards", "values", "advantages", "returns",
    "weights",
)  # fmt: skip


class Learner:
    """Applies an algorithm to a policy. seed: orders the mini-batches."""

    def __init__(
        self,
        algorithm: Algorithm,
        policy: Policy,
        accelerator: Accelerator,
        optim: OptimConfig,
        rollouts: RolloutConfig,
        seed: int,
    ):
        self.algorithm = algorithm
        self.policy = policy
        self.accelerator = accelerator
        self.optim = optim
        self.rollouts = rollouts
        self.seed = seed

    def score(self, batch: Batch) -> Batch:
        """Fills the log-probs and values that credit and update need besides the update's own."""
        kl, critic = self.algorithm.kl, self.algorithm.critic
        pay = kl.coefficient > 0 and kl.paid == "reward"
        old = pay or self.optim.mini_batches * self.optim.epochs > 1  # otherwise the ratio is 1
        if old or critic is not None:
            scores = self.policy.scores(batch)
            batch = batch.with_(old_logprobs=scores.logprobs if old else None, values=scores.values)
        if kl.coefficient > 0:
            batch = batch.with_(ref_logprobs=self.policy.ref_logprobs(batch))
        if pay:
            penalty = losses.kl(_filled(batch.old_logprobs), _filled(batch.ref_logprobs), kl.estimator)
            batch = batch.with_(kl_rewards=selected(-kl.coefficient * penalty, batch.mask))
        return batch

    def credit(self, batch: Batch) -> Batch:
        """Fills advantages and returns; whitening is over all ranks."""
        credit = self.algorithm.credit(batch)
        whitening, values = self.algorithm.whitening, credit.advantages
        if whitening.by != "none":
            share = batch.mask
            if whitening.by == "completions":
                share = losses.sequence_mean(batch.mask, completions=1.0)
            total = self.accelerator.reduce(advantages.moments(values, share), reduction="sum")
            values = advantages.whitened(values, batch.mask, total, whitening.ddof)
        if advantages.zero_by_construction(values, batch):
            warnings.warn(
                f"every advantage of this step is 0 although completions differ: {self.algorithm.name} "
                "with these settings trains on nothing. Check rollouts.group_size and algorithm.*",
                stacklevel=2,
            )
        return batch.with_(advantages=values, returns=credit.returns)

    def update(self, batch: Batch, step: int) -> tuple[dict[str, float], bool]:
        """Every optimizer step of one rollout batch; returns metrics and whether any step was skipped.

        Losses are means over the steps; entropy and mismatch are means over the first epoch.
        """
        critic = self.algorithm.critic
        critic_only = critic is not None and step <= critic.warmup_steps
        rows: list[dict[str, float]] = []
        skipped = 0
        for epoch in range(self.optim.epochs):
            for mini in self._mini_batches(batch, step, epoch):
                counts = self._counts(mini)
                mini = mini.with_(weights=self.algorithm.weights(mini, counts))
                objective = partial(self._objective, counts, critic_only)
                update = self.policy.update(mini, objective, critic_only)
                rows.append(update.metrics)
                skipped += update.skipped
        first = _means(rows[: len(rows) // self.optim.epochs])
        metrics = {
            **{name: value for name, value in _means(rows).items() if "/" in name},
            "rollout/entropy": first["rollout/entropy"],
            "mismatch/max": max(row["mismatch/max"] for row in rows),
            **mismatch_metrics(first),
            **self._explained(batch),
            "loss/skipped": skipped / len(rows),
        }
        return metrics, skipped > 0

    def _objective(self, counts: Counts, critic_only: bool, scores: Scores, batch: Batch) -> Objective:
        """The loss of one micro-batch, and metrics that add up over micro-batches."""
        batch, scores = _trained_alone(batch, scores)
        weights, share = _filled(batch.weights), batch.mask / counts.tokens
        metrics = {
            "rollout/entropy": (share * scores.entropies).sum(),
            **mismatch_sums(batch, scores.logprobs, share),
        }
        loss = scores.logprobs.sum() * 0.0
        if not critic_only:
            factor = correction_factor(batch, scores.logprobs, self.rollouts.correction)
            per_token = factor * self.algorithm.policy_loss(scores.logprobs, batch)
            metrics["loss/policy"] = (weights * per_token).sum()
            loss = loss + metrics["loss/policy"]
            metrics |= {
                f"loss/{name}": (share * value).sum()
                for name, value in self.algorithm.policy_loss.diagnostics(scores.logprobs, batch).items()
            }
        kl = self.algorithm.kl
        if kl.coefficient > 0:
            per_token = losses.kl(scores.logprobs, _filled(batch.ref_logprobs), kl.estimator)
            metrics["loss/kl"] = (share * per_token).sum()
            if kl.by_ratio:
                per_token = per_token * losses.ratio(scores.logprobs, batch.old_logprobs)
            if kl.paid == "loss" and not critic_only:
                loss = loss + kl.coefficient * (weights * per_token).sum()
        critic = self.algorithm.critic
        if critic is not None:
            error = losses.value_loss(
                _filled(scores.values), _filled(batch.values), _filled(batch.returns), critic.value_clip
            )
            metrics["critic/loss"] = (weights * error).sum()
            loss = loss + critic.coefficient * metrics["critic/loss"]
        return Objective(loss, metrics, mismatch_peaks(batch, scores.logprobs))

    def _mini_batches(self, batch: Batch, step: int, epoch: int) -> Iterator[Batch]:
        """The rank's groups cut into mini-batches, in a new order each epoch; every rank makes as many."""
        labels = batch.group.unique()
        parts = min(self.optim.mini_batches, len(labels))
        if parts == 1:
            yield batch
            return
        seed = derive_seed(self.seed, "mini-batches", step, epoch)
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
        for chosen in labels[order.to(labels.device)].tensor_split(parts):
            yield batch.select(torch.isin(batch.group, chosen).nonzero()[:, 0])

    def _counts(self, batch: Batch) -> Counts:
        trained = batch.mask.any(1)
        groups = batch.group[trained].unique().numel()
        own = [batch.mask.sum().item(), trained.sum().item(), groups]
        total = torch.tensor(own, dtype=torch.float64, device=self.accelerator.device)
        tokens, completions, groups = self.accelerator.reduce(total, reduction="sum").tolist()
        return Counts(
            tokens=max(tokens, 1.0),
            completions=max(completions, 1.0),
            groups=max(groups, 1.0),
            longest=self.rollouts.max_new_tokens,
        )

    def _explained(self, batch: Batch) -> dict[str, float]:
        """1 - Var(returns - values) / Var(returns) over all trained tokens; 0 where returns do not vary."""
        if batch.values is None or batch.returns is None:
            return {}
        parts = [advantages.moments(x, batch.mask) for x in (batch.returns - batch.values, batch.returns)]
        totals = self.accelerator.reduce(torch.stack(parts), reduction="sum").tolist()
        rest, whole = (square / max(n, 1.0) - (total / max(n, 1.0)) ** 2 for n, total, square in totals)
        return {"critic/explained_variance": 1 - rest / whole if whole > 1e-12 else 0.0}


def _trained_alone(batch: Batch, scores: Scores) -> tuple[Batch, Scores]:
    """Both with 0 at the tokens that are not trained on, so that no formula meets what stands there.

    Before the formulas and not after them: the gradient of an infinity is no number even where it has no
    weight.
    """
    fields = {name: value for name in TOKEN_FIELDS if (value := getattr(batch, name)) is not None}
    cleared = {name: selected(value, batch.mask) for name, value in fields.items()}
    own = Scores(*(None if value is None else selected(value, batch.mask) for value in scores))
    return batch.with_(**cleared), own


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def _filled(value: Tensor | None) -> Tensor:
    if value is None:
        raise ValueError("a field of the batch that this algorithm needs was not filled")
    return value
