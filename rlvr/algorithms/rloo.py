"""RLOO: REINFORCE Leave-One-Out, arXiv 2402.14740, eq. 8."""

from __future__ import annotations

from typing import Literal

from rlvr.algorithms.bundle import Algorithm, Clip, Credit, Kl, Normalisation


def rloo(
    loss: Literal["reinforce", "ppo_clip"] = "reinforce",
    clip: Clip = Clip(),
    normalisation: Normalisation = "sequence_sum",
    kl: Kl = Kl(coefficient=0.0, estimator="k1", paid="reward"),
) -> Algorithm:
    """The completion is one action: its reward, KL included, minus the mean of the others' rewards.

    No ratio and no clip, so one update a batch. verl: token-level ratio with PPO clip and token mean
    (`rloo_verl`). OpenRLHF: leave-one-out on the raw rewards, KL added after.
    TRL: a sequence-level ratio with a clip, which is 1 in a single update; KL coefficient 0.05.
    """
    from rlvr.algorithms import losses
    from rlvr.algorithms.formulas import advantages

    return Algorithm(
        name="rloo",
        credit=lambda b: Credit(
            advantages.leave_one_out(advantages.sequence_rewards(b), b.group)[:, None] * b.mask
        ),
        policy_loss=losses.PpoClip(clip) if loss == "ppo_clip" else losses.Reinforce(),
        weights=losses.Weights(normalisation),
        kl=kl,
        smallest_group=2,
    )
