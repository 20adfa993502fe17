"""PPO with a critic: arXiv 1707.06347, eq. 7, and generalised advantage estimation, 1506.02438."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from rlvr.algorithms.batch import ScoredBatch
from rlvr.algorithms.bundle import (
    MOST_AHEAD_OF_CRITIC,
    Algorithm,
    Clip,
    Credit,
    Credited,
    Critic,
    Entropy,
    Kl,
    Normalisation,
    Whitening,
)

Discount = Annotated[float, Field(ge=0, le=1)]


def ppo(
    gamma: Discount = 1.0,
    lam: Discount = 1.0,
    clip: Clip = Clip(),
    whitening: Whitening = Whitening(by="tokens", ddof=1),
    normalisation: Normalisation = "token_mean",
    kl: Kl = Kl(coefficient=0.0, estimator="k1", paid="reward"),
    entropy: Entropy = Entropy(),
    critic: Critic = Critic(),
    credit: Credited = "outcome",
) -> Algorithm:
    """GAE on token rewards, whitened after the returns are taken; PPO clip; a clipped value loss.

    gamma = lambda = 1, critic learning rate 1e-5, value clip 0.5 and factor 1/2 are what RLVR practice
    and verl use (`ppo_verl` adds dual clip 3); the PPO paper has neither value clip nor whitening.
    credit=steps: what is given for a step is a token reward where the step ends, not at the end.
    """
    from rlvr.algorithms import losses
    from rlvr.algorithms.formulas import advantages

    def credited(b: ScoredBatch) -> Credit:
        if credit == "steps":
            token_rewards = advantages.rewards_where_given(b)
        else:
            token_rewards = advantages.rewards_at_end(b.rewards, b.mask, b.kl_rewards)
        return Credit(*advantages.gae(token_rewards, b.values, b.mask, gamma, lam))

    return Algorithm(
        name="ppo",
        credit=credited,
        by_step=credit == "steps",
        policy_loss=losses.PpoClip(clip),
        weights=losses.Weights(normalisation),
        kl=kl,
        entropy=entropy,
        whitening=whitening,
        critic=critic,
        most_ahead=MOST_AHEAD_OF_CRITIC,
    )
