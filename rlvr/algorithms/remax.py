"""ReMax, arXiv 2310.10505, algorithm 2: REINFORCE with the greedy response's reward as the baseline."""

from __future__ import annotations

from typing import Literal

from rlvr.algorithms.batch import ScoredBatch
from rlvr.algorithms.bundle import MOST_AHEAD, Algorithm, Clip, Credit, Draws, Entropy, Kl, Normalisation


def remax(
    loss: Literal["reinforce", "ppo_clip"] = "reinforce",
    clip: Clip = Clip(),
    normalisation: Normalisation = "sequence_sum",
    kl: Kl = Kl(coefficient=0.0, estimator="k1", paid="reward"),
    entropy: Entropy = Entropy(),
) -> Algorithm:
    """R minus the reward of one greedy response of the current policy to the same prompt.

    KL in the reward is read as one-step: each token's advantage carries its own KL, not that of later
    tokens. The authors' code takes the token mean. verl: the n samples of a prompt share its greedy
    response, as here, and the loss is PPO's clip (`remax_verl`).
    """
    from rlvr.algorithms import losses
    from rlvr.algorithms.formulas.masks import selected

    def credit(b: ScoredBatch) -> Credit:
        advantage = (b.rewards - b.greedy_rewards)[:, None] * b.mask
        return Credit(advantage + selected(b.kl_rewards, b.mask))

    return Algorithm(
        name="remax",
        credit=credit,
        policy_loss=losses.PpoClip(clip) if loss == "ppo_clip" else losses.Reinforce(),
        weights=losses.Weights(normalisation),
        kl=kl,
        entropy=entropy,
        draws=Draws(greedy=True),
        most_ahead=MOST_AHEAD,
    )
