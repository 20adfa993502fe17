"""What one training step does with a batch: score -> credit -> update."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from rlvr.algorithms.batch import (
    CreditedBatch,
    ReadyBatch,
    ScoredBatch,
    StepCounts,
    TokenBatch,
    WeightedBatch,
)
from rlvr.algorithms.bundle import Algorithm
from rlvr.algorithms.formulas import advantages
from rlvr.algorithms.formulas.kl import kl_estimate
from rlvr.algorithms.formulas.masks import selected
from rlvr.algorithms.formulas.normalisation import sequence_mean
from rlvr.config.schema import OptimConfig, RolloutConfig
from rlvr.core.seeds import derive_seed
from rlvr.learning.actor_critic import Scores
from rlvr.learning.objective import (
    EntropyControl,
    KlControl,
    Term,
    entropy_term,
    kl_term,
    policy_term,
    teacher_term,
    value_term,
)
from rlvr.learning.off_policy import mismatch_metrics, mismatch_peaks, mismatch_sums
from rlvr.learning.policy import Objective, Policy


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
        self.kl = KlControl(algorithm.kl)
        self.entropy = EntropyControl(algorithm.entropy)

    def state(self) -> dict[str, Any]:
        """What a resume needs; the same on all ranks."""
        return {"kl": self.kl.state(), "entropy": self.entropy.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.kl.restore(state["kl"])
        self.entropy.restore(state["entropy"])

    def score(self, batch: ReadyBatch) -> ScoredBatch:
        """Adds what the models say of the tokens, as far as credit and update need it."""
        kl, critic = self.algorithm.kl, self.algorithm.critic
        in_reward = kl.coefficient > 0 and kl.paid == "reward"
        old_logprobs = ref_logprobs = values = None
        several = self.optim.mini_batches * self.optim.epochs > 1  # otherwise the ratio is 1
        if in_reward or several or critic is not None:
            scores = self.policy.scores(batch)
            values = scores.values
            if in_reward or several:
                old_logprobs = scores.logprobs
        if kl.coefficient > 0:
            ref_logprobs = self.policy.ref_logprobs(batch)
        kl_rewards = torch.zeros_like(batch.mask)
        if in_reward and old_logprobs is not None and ref_logprobs is not None:
            penalty = self.kl.coefficient * kl_estimate(old_logprobs, ref_logprobs, kl.estimator)
            kl_rewards = selected(-penalty, batch.mask)
        by_teacher = self.algorithm.taught == "samples"
        return batch.with_scores(
            old_logprobs=old_logprobs,
            ref_logprobs=ref_logprobs,
            kl_rewards=kl_rewards,
            values=values,
            teacher_logprobs=self.policy.teacher_logprobs(batch) if by_teacher else None,
        )

    def credit(self, batch: ScoredBatch) -> CreditedBatch:
        """Adds advantages and returns; whitening is over all ranks. Raises ValueError for credit that does
        not suit the algorithm's critic."""
        algorithm = self.algorithm
        credit = algorithm.credit(batch)
        if (credit.returns is None) != (algorithm.critic is None):
            has, gives = ("no critic", "") if algorithm.critic is None else ("a critic", "no ")
            raise ValueError(
                f"algorithm {algorithm.name} has {has}, but its credit gives {gives}returns: returns are the "
                "critic's targets, so an algorithm has both or neither"
            )
        whitening, values = algorithm.whitening, credit.advantages
        if whitening.by != "none":
            share = batch.mask
            if whitening.by == "completions":
                share = sequence_mean(batch.mask, completions=1.0)
            total = self.accelerator.reduce(advantages.moments(values, share), reduction="sum")
            values = advantages.whitened(values, batch.mask, total, whitening.ddof)
        if algorithm.policy_loss is not None and advantages.zero_by_construction(values, batch):
            warnings.warn(
                f"every advantage of this step is 0 although completions differ: {algorithm.name} "
                "with these settings trains on nothing. Check rollouts.group_size and algorithm.*",
                stacklevel=2,
            )
        return batch.with_credit(advantages=values, returns=credit.returns)

    def update(self, batch: CreditedBatch, step: int) -> tuple[dict[str, float], bool]:
        """Every optimizer step of one rollout batch; returns metrics and whether any step was skipped.

        Losses are means over the steps; entropy and mismatch are means over the first epoch.
        """
        critic = self.algorithm.critic
        critic_only = critic is not None and step <= critic.warmup_steps
        over_vocabulary = self.algorithm.taught == "vocabulary"
        rows: list[dict[str, float]] = []
        skipped = 0
        for epoch in range(self.optim.epochs):
            for mini in self._mini_batches(batch, step, epoch):
                counts = self._counts(mini)
                weighted = mini.with_weights(self.algorithm.weights(mini, counts))
                objective = partial(self._objective, counts, critic_only)
                update = self.policy.update(weighted, objective, critic_only, over_vocabulary)
                rows.append(update.metrics)
                skipped += update.skipped
        first = _means(rows[: len(rows) // self.optim.epochs])
        self.entropy.observe(first["rollout/entropy"])
        metrics = {
            **{name: value for name, value in _means(rows).items() if "/" in name},
            "rollout/entropy": first["rollout/entropy"],
            "mismatch/max": max(row["mismatch/max"] for row in rows),
            **mismatch_metrics(first),
            **self._explained_variance(batch),
            "loss/skipped": skipped / len(rows),
        }
        if self.algorithm.kl.coefficient > 0:
            metrics.update(self._lead_kl(step, metrics["loss/kl"]))
        return metrics, skipped > 0

    def _lead_kl(self, step: int, kl: float) -> dict[str, float]:
        """What the next step's KL is weighed by and taken from."""
        found = {"loss/kl_coefficient": self.kl.coefficient}
        self.kl.observe(kl)
        if self.algorithm.kl.resets:
            due = self.kl.resets(step, kl)
            found["loss/reference_reset"] = float(due)
            if due:
                self.policy.reset_reference()
        return found

    def _objective(
        self, counts: StepCounts, critic_only: bool, scores: Scores, batch: WeightedBatch
    ) -> Objective:
        """The loss of one micro-batch, and metrics that add up over micro-batches."""
        batch, scores = _trained_alone(batch, scores)
        share = batch.mask / counts.tokens
        loss = scores.logprobs.sum() * 0.0
        metrics = {
            "rollout/entropy": (share * scores.entropies).sum(),
            **mismatch_sums(batch, scores.logprobs, share),
        }
        for term in self._terms(critic_only, scores, batch, share):
            loss = loss if term.loss is None else loss + term.loss
            metrics.update(term.metrics)
        return Objective(loss, metrics, mismatch_peaks(batch, scores.logprobs))

    def _terms(
        self, critic_only: bool, scores: Scores, batch: WeightedBatch, share: Tensor
    ) -> Iterator[Term]:
        """What the loss is the sum of."""
        algorithm, logprobs = self.algorithm, scores.logprobs
        if not critic_only:
            if algorithm.policy_loss is not None:
                yield policy_term(algorithm.policy_loss, self.rollouts.correction, batch, logprobs, share)
            if scores.teacher_kl is not None:
                yield teacher_term(batch, scores.teacher_kl, share)
            if self.entropy.applied:
                yield entropy_term(self.entropy.applied, scores.entropies, share)
        if batch.ref_logprobs is not None:
            yield kl_term(self.kl, not critic_only, batch, logprobs, batch.ref_logprobs, share)
        critic, values = algorithm.critic, scores.values
        if not (critic is None or values is None or batch.values is None or batch.returns is None):
            yield value_term(
                critic.coefficient, critic.value_clip, batch, values, batch.values, batch.returns
            )

    def _mini_batches(self, batch: CreditedBatch, step: int, epoch: int) -> Iterator[CreditedBatch]:
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

    def _counts(self, batch: TokenBatch) -> StepCounts:
        trained = batch.mask.any(1)
        groups = batch.group[trained].unique().numel()
        own = [batch.mask.sum().item(), trained.sum().item(), groups]
        total = torch.tensor(own, dtype=torch.float64, device=self.accelerator.device)
        tokens, completions, groups = self.accelerator.reduce(total, reduction="sum").tolist()
        return StepCounts(
            tokens=max(tokens, 1.0),
            completions=max(completions, 1.0),
            groups=max(groups, 1.0),
            max_new_tokens=self.rollouts.max_new_tokens,
        )

    def _explained_variance(self, batch: CreditedBatch) -> dict[str, float]:
        """1 - Var(returns - values) / Var(returns) over all trained tokens; 0 where returns do not vary."""
        if batch.values is None or batch.returns is None:
            return {}
        parts = [advantages.moments(x, batch.mask) for x in (batch.returns - batch.values, batch.returns)]
        totals = self.accelerator.reduce(torch.stack(parts), reduction="sum").tolist()
        rest, whole = (square / max(n, 1.0) - (total / max(n, 1.0)) ** 2 for n, total, square in totals)
        return {"critic/explained_variance": 1 - rest / whole if whole > 1e-12 else 0.0}


def _trained_alone(batch: WeightedBatch, scores: Scores) -> tuple[WeightedBatch, Scores]:
    """Both with 0 at the tokens that are not trained on, so that no formula meets what is there.

    Before the formulas and not after them: the gradient of an infinity is no number even where it has no
    weight.
    """
    own = Scores(
        selected(scores.logprobs, batch.mask),
        selected(scores.entropies, batch.mask),
        None if scores.values is None else selected(scores.values, batch.mask),
        None if scores.teacher_kl is None else selected(scores.teacher_kl, batch.mask),
    )
    return batch.of_trained_tokens(), own


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
