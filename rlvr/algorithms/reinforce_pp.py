"""REINFORCE++ and REINFORCE++-baseline, arXiv 2501.03262, eq. 1 to 8."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from rlvr.algorithms.batch import ScoredBatch
from rlvr.algorithms.bundle import (
    MOST_AHEAD,
    Algorithm,
    Clip,
    Credit,
    Credited,
    Entropy,
    Kl,
    Normalisation,
    Whitening,
)


def reinforce_pp(
    baseline: bool = False,
    gamma: Annotated[float, Field(ge=0, le=1)] = 1.0,
    clip: Clip = Clip(),
    whitening: Whitening = Whitening(by="tokens", ddof=1),
    normalisation: Normalisation = "token_mean",
    kl: Kl = Kl(coefficient=0.0, estimator="k1", paid="reward"),
    entropy: Entropy = Entropy(),
    credit: Credited = "outcome",
) -> Algorithm:
    """Return-to-go of token rewards, whitened over the global batch, with PPO's clip; KL in the reward.

    baseline: the variant for several completions a prompt (eq. 6 to 8): R minus the group's mean instead
    of the return, whitened likewise; the paper pays its KL as k2 in the loss (kl.estimator=k2 kl.paid=loss).
    verl whitens tokens with ddof 1, OpenRLHF with ddof 0; the paper does not say.
    credit=steps: what is given for a step is a token reward where the step ends, not at the end.
    """
    if baseline and credit == "steps":
        raise ValueError(
            "baseline=true takes a completion as one action, so credit=steps has no place in it: give "
            "baseline=false, or algorithm=rloo, which has both"
        )
    from rlvr.algorithms import losses
    from rlvr.algorithms.formulas import advantages

    def credited(b: ScoredBatch) -> Credit:
        if baseline:
            return Credit(advantages.group_centred(advantages.sequence_rewards(b), b.group)[:, None] * b.mask)
        if credit == "steps":
            token_rewards = advantages.rewards_where_given(b)
        else:
            token_rewards = advantages.rewards_at_end(b.rewards, b.mask, b.kl_rewards)
        return Credit(advantages.return_to_go(token_rewards, b.mask, gamma))

    return Algorithm(
        name="reinforce_pp",
        credit=credited,
        by_step=credit == "steps",
        policy_loss=losses.PpoClip(clip),
        weights=losses.Weights(normalisation),
        kl=kl,
        entropy=entropy,
        whitening=whitening,
        smallest_group=2 if baseline else 1,
        most_ahead=MOST_AHEAD,
    )
