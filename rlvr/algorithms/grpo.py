"""GRPO: Group Relative Policy Optimization, arXiv 2402.03300, eq. 3 and 4."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rlvr.algorithms.batch import ScoredBatch
from rlvr.algorithms.bundle import MOST_AHEAD, Algorithm, Clip, Credit, Entropy, Kl, Normalisation
from rlvr.config.registry import with_defaults


def grpo(
    clip: Clip = Clip(),
    eps: Annotated[float, Field(ge=0)] = 1e-6,
    std_ddof: Literal[0, 1] = 1,
    scale_by_std: bool = True,
    unlikeliness: Annotated[float, Field(ge=0, le=1)] = 0.0,
    normalisation: Normalisation = "sequence_mean",
    kl: Kl = Kl(coefficient=0.04, estimator="k3", paid="loss"),
    entropy: Entropy = Entropy(),
) -> Algorithm:
    """Rewards normalised in their group, PPO clip, mean over tokens then completions, k3 in the loss.

    The paper leaves eps and the ddof of the standard deviation open: here 1e-6 and 1.
    verl: eps 1e-6, token mean, dual clip 3 (`grpo_verl`). OpenRLHF: eps 1e-9, token mean.
    TRL: eps 1e-4, token mean by default ("dapo"). `dr_grpo` is Dr. GRPO, arXiv 2503.20783.
    unlikeliness: how much less a completion's reward is worth as its group's likeliest (arXiv 2506.02355;
    its beta_rank, there 0.25), by the engine's log-prob of the whole completion; the authors' code takes the
    mean over tokens.
    """
    from rlvr.algorithms import losses
    from rlvr.algorithms.formulas import advantages
    from rlvr.algorithms.formulas.masks import selected

    def credit(b: ScoredBatch) -> Credit:
        rewards = advantages.sequence_rewards(b)
        if unlikeliness:
            likelihood = selected(b.engine_logprobs, b.mask).sum(1)
            rewards = advantages.unlikely_rewards(rewards, likelihood, b.group, unlikeliness)
        if scale_by_std:
            advantage = advantages.group_normalised(rewards, b.group, eps, std_ddof)
        else:
            advantage = advantages.group_centred(rewards, b.group)
        return Credit(advantage[:, None] * b.mask)

    return Algorithm(
        name="grpo",
        credit=credit,
        policy_loss=losses.PpoClip(clip),
        weights=losses.Weights(normalisation),
        kl=kl,
        entropy=entropy,
        smallest_group=2,
        most_ahead=MOST_AHEAD,
    )


# arXiv 2503.20783: no division by the standard deviation, nor by a completion's own length.
dr_grpo = with_defaults(
    grpo, "dr_grpo", scale_by_std=False, normalisation="fixed_length", kl=Kl(coefficient=0.0)
)
