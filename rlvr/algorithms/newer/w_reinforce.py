"""W-REINFORCE: right and wrong samples weighted apart, arXiv 2506.01347, "Negative Reinforcement"."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rlvr.algorithms.batch import ScoredBatch
from rlvr.algorithms.bundle import MOST_AHEAD, Algorithm, Clip, Credit, Entropy, Kl, Normalisation


def w_reinforce(
    positive: Annotated[float, Field(ge=0)] = 0.1,
    negative: Annotated[float, Field(ge=0)] = 1.0,
    loss: Literal["reinforce", "ppo_clip"] = "reinforce",
    clip: Clip = Clip(),
    normalisation: Normalisation = "sequence_sum",
    kl: Kl = Kl(),
    entropy: Entropy = Entropy(),
) -> Algorithm:
    """A right completion's advantage is `positive`, a wrong one's -`negative`: no baseline, no group, and by
    verdicts, so that `rewards.*` do not matter. No KL.

    negative=0 is the paper's PSR (right samples alone), positive=0 its NSR (wrong ones alone), 0.1 and 1 its
    W-REINFORCE.
    """
    from rlvr.algorithms import losses
    from rlvr.algorithms.formulas import advantages

    if positive == negative == 0:
        raise ValueError("w_reinforce with positive=0 and negative=0 trains on nothing: give one of them")
    if kl.coefficient and kl.paid == "reward":
        raise ValueError(
            "w_reinforce takes no rewards, so KL cannot be paid in them: set algorithm.kl.paid=loss"
        )

    def credit(b: ScoredBatch) -> Credit:
        signs = advantages.signed(b.correct, positive, negative)
        return Credit(signs.to(b.mask.dtype)[:, None] * b.mask)

    return Algorithm(
        name="w_reinforce",
        credit=credit,
        policy_loss=losses.PpoClip(clip) if loss == "ppo_clip" else losses.Reinforce(),
        weights=losses.Weights(normalisation),
        kl=kl,
        entropy=entropy,
        most_ahead=MOST_AHEAD,
        by_verdict=True,
    )
