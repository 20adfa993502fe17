"""RLOO: REINFORCE Leave-One-Out, arXiv 2402.14740, eq. 8."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rlvr.algorithms.batch import ScoredBatch
from rlvr.algorithms.bundle import MOST_AHEAD, Algorithm, Clip, Credit, Credited, Entropy, Kl, Normalisation


def rloo(
    loss: Literal["reinforce", "ppo_clip"] = "reinforce",
    clip: Clip = Clip(),
    normalisation: Normalisation = "sequence_sum",
    kl: Kl = Kl(coefficient=0.0, estimator="k1", paid="reward"),
    entropy: Entropy = Entropy(),
    credit: Credited = "outcome",
    gamma: Annotated[float, Field(ge=0, le=1)] = 1.0,
) -> Algorithm:
    """The completion is one action: its reward, KL included, minus the mean of the others' rewards.

    No ratio and no clip, so one update a batch. verl: token-level ratio with PPO clip and token mean
    (`rloo_verl`). OpenRLHF: leave-one-out on the raw rewards, KL added after.
    TRL: a sequence-level ratio with a clip, which is 1 in a single update; KL coefficient 0.05.
    credit=steps: what is given for single steps is a return of its own from each token on, discounted by
    gamma, minus the others' from the same place (`formulas.advantages.leave_one_out_by_step`).
    """
    from rlvr.algorithms import losses
    from rlvr.algorithms.formulas import advantages

    def credited(b: ScoredBatch) -> Credit:
        rewards = advantages.sequence_rewards(b)
        if credit == "outcome":
            return Credit(advantages.leave_one_out(rewards, b.group)[:, None] * b.mask)
        _, steps = advantages.apart(b)
        return Credit(advantages.leave_one_out_by_step(rewards - steps.sum(1), steps, b.mask, b.group, gamma))

    return Algorithm(
        name="rloo",
        credit=credited,
        policy_loss=losses.PpoClip(clip) if loss == "ppo_clip" else losses.Reinforce(),
        weights=losses.Weights(normalisation),
        kl=kl,
        entropy=entropy,
        smallest_group=2,
        by_step=credit == "steps",
        most_ahead=MOST_AHEAD,
    )
