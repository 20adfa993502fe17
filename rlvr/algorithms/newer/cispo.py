"""CISPO: Clipped IS-weight Policy Optimization, MiniMax-M1, arXiv 2506.13585, eq. 4 and 5."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rlvr.algorithms.bundle import MOST_AHEAD, Algorithm, Entropy, Kl, Normalisation


def cispo(
    cap: Annotated[float, Field(gt=1)] = 5.0,
    eps: Annotated[float, Field(ge=0)] = 1e-6,
    std_ddof: Literal[0, 1] = 1,
    normalisation: Normalisation = "group_token_mean",
    kl: Kl = Kl(),
    entropy: Entropy = Entropy(),
) -> Algorithm:
    """GRPO's advantages; REINFORCE with each token weighted by its ratio, cut at `cap`, so that no token
    loses its gradient as it does under PPO's clip. The mean over a group's tokens, then over groups; no KL.

    The paper bounds the ratio from above alone and does not say where: cap, its 1 + epsilon_high, is 5 as in
    TRL. With one update a batch the ratio is 1, and this is REINFORCE with GRPO's advantages.
    """
    from rlvr.algorithms import losses

    return Algorithm(
        name="cispo",
        credit=losses.GroupNormalised(eps, std_ddof),
        policy_loss=losses.Cispo(cap),
        weights=losses.Weights(normalisation),
        kl=kl,
        entropy=entropy,
        smallest_group=2,
        most_ahead=MOST_AHEAD,
    )
