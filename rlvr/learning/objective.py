"""The terms that the loss of one micro-batch is the sum of, and their coefficients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from rlvr.algorithms.batch import WeightedBatch
from rlvr.algorithms.bundle import Entropy, Kl, PolicyLoss
from rlvr.algorithms.formulas.kl import kl_estimate
from rlvr.algorithms.formulas.ratio import ratio
from rlvr.algorithms.formulas.value_loss import value_loss
from rlvr.config.schema import Correction
from rlvr.learning.off_policy import correction_factor


class Term(NamedTuple):
    """One term of the loss of a micro-batch."""

    loss: Tensor | None
    """scalar; None where the term is measured only"""
    metrics: Mapping[str, Tensor]
    """scalars by the name under which they are logged; they add up over micro-batches"""


def policy_term(
    policy_loss: PolicyLoss, correction: Correction, batch: WeightedBatch, logprobs: Tensor, share: Tensor
) -> Term:
    """The algorithm's policy loss, corrected for the mismatch of engine and trainer.

    logprobs: [B, T], by the current weights. share: [B, T], each trained token's share of 1.
    """
    factor = correction_factor(batch, logprobs, correction)
    loss = (batch.weights * (factor * policy_loss(logprobs, batch))).sum()
    diagnostics = policy_loss.diagnostics(logprobs, batch)
    return Term(
        loss,
        {
            "loss/policy": loss,
            **{f"loss/{name}": (share * value).sum() for name, value in diagnostics.items()},
        },
    )


def kl_term(
    control: KlControl,
    trains: bool,
    batch: WeightedBatch,
    logprobs: Tensor,
    ref_logprobs: Tensor,
    share: Tensor,
) -> Term:
    """The KL from the reference, in the loss if the settings put it there and the policy `trains`."""
    settings = control.settings
    per_token = kl_estimate(logprobs, ref_logprobs, settings.estimator)
    metrics = {"loss/kl": (share * per_token).sum()}
    if settings.paid == "reward" or not trains:
        return Term(None, metrics)
    if settings.by_ratio:
        per_token = per_token * ratio(logprobs, batch.old_logprobs)
    return Term(control.coefficient * (batch.weights * per_token).sum(), metrics)


def teacher_term(batch: WeightedBatch, teacher_kl: Tensor, share: Tensor) -> Term:
    """KL(policy || teacher) over the vocabulary, [B, T], in the algorithm's normalisation."""
    loss = (batch.weights * teacher_kl).sum()
    return Term(loss, {"loss/teacher_kl": (share * teacher_kl).sum()})


def entropy_term(coefficient: float, entropies: Tensor, share: Tensor) -> Term:
    """The bonus for entropy. entropies, share: [B, T]."""
    bonus = coefficient * (share * entropies).sum()
    return Term(-bonus, {"loss/entropy_bonus": bonus})


def value_term(
    coefficient: float,
    clip: float | None,
    batch: WeightedBatch,
    values: Tensor,
    old_values: Tensor,
    returns: Tensor,
) -> Term:
    """The critic's loss. values: by the current weights; all [B, T]."""
    loss = (batch.weights * value_loss(values, old_values, returns, clip)).sum()
    return Term(coefficient * loss, {"critic/loss": loss})


class KlControl:
    """The coefficient of the KL, and when its reference is reset.

    It changes between training steps alone, and by numbers that are equal on all ranks.
    """

    # arXiv 1909.08593, section 2.2: how far an error counts, and how far one step moves the coefficient.
    MOST, SHARE = 0.2, 0.1

    def __init__(self, settings: Kl):
        self.settings = settings
        self.coefficient = settings.coefficient

    def observe(self, kl: float) -> None:
        """kl: of a step's trained tokens, in nats a token, by the estimator of the settings."""
        if self.settings.target is not None:
            error = kl / self.settings.target - 1
            self.coefficient *= 1 + self.SHARE * max(-self.MOST, min(self.MOST, error))

    def resets(self, step: int, kl: float) -> bool:
        """Whether the reference is reset after this training step."""
        every, above = self.settings.reset_every, self.settings.reset_above
        return (every is not None and step % every == 0) or (above is not None and kl > above)

    def state(self) -> dict[str, float]:
        return {"coefficient": self.coefficient}

    def restore(self, state: Mapping[str, float]) -> None:
        self.coefficient = state["coefficient"]


class EntropyControl:
    """The coefficient of the bonus for entropy: constant, or led by a target (arXiv 2505.22312)."""

    def __init__(self, settings: Entropy):
        self.settings = settings
        self.coefficient = settings.coefficient
        self.last: float | None = None

    @property
    def applied(self) -> float:
        """By how much the next step's entropy is rewarded."""
        target = self.settings.target
        above = target is not None and self.last is not None and self.last > target
        return 0.0 if above else self.coefficient

    def observe(self, entropy: float) -> None:
        """entropy: of a step's trained tokens, in nats, before its updates."""
        self.last = entropy
        if self.settings.target is not None and entropy != self.settings.target:
            rate = self.settings.rate if entropy < self.settings.target else -self.settings.rate
            self.coefficient = max(0.0, self.coefficient + rate)

    def state(self) -> dict[str, float | None]:
        return {"coefficient": self.coefficient, "last": self.last}

    def restore(self, state: Mapping[str, float]) -> None:
        self.coefficient, self.last = state["coefficient"], state["last"]
