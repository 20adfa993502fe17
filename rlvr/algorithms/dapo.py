"""DAPO: Decoupled Clip and Dynamic sAmpling Policy Optimization, arXiv 2503.14476, eq. 8 to 13."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rlvr.algorithms.bundle import MOST_AHEAD, Algorithm, Clip, Draws, Entropy, Kl, Normalisation


def dapo(
    clip: Clip = Clip(low=0.2, high=0.28),
    eps: Annotated[float, Field(ge=0)] = 1e-6,
    std_ddof: Literal[0, 1] = 1,
    max_draws: Annotated[int, Field(ge=1)] = 10,
    at_bound: Literal["stop", "train"] = "stop",
    normalisation: Normalisation = "token_mean",
    kl: Kl = Kl(),
    entropy: Entropy = Entropy(),
) -> Algorithm:
    """GRPO's advantages on groups that are neither all right nor all wrong, clip-higher, token mean, no KL.

    A draw is one round of generation; rounds go on until the batch is full, at most max_draws, and then
    the run stops (verl's way; its endless bound is not copied) or trains on what it has. Whether a group
    is kept goes by correctness, not by the shaped reward. Eq. 8 takes the token mean in each group and
    then over prompts (group_token_mean); verl's code and this default take it over the whole step.
    Its rewards, +1 / -1 and the overlong shaping of eq. 13, are the recipe's `rewards.*`.
    """
    from rlvr.algorithms import losses

    return Algorithm(
        name="dapo",
        credit=losses.GroupNormalised(eps, std_ddof),
        policy_loss=losses.PpoClip(clip),
        weights=losses.Weights(normalisation),
        kl=kl,
        entropy=entropy,
        smallest_group=2,
        draws=Draws(
            keep=lambda correct: any(correct) and not all(correct), max_draws=max_draws, at_bound=at_bound
        ),
        most_ahead=MOST_AHEAD,
        by_verdict=True,
    )
