"""GSPO: Group Sequence Policy Optimization, arXiv 2507.18071, eq. 5 to 7."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rlvr.algorithms.bundle import MOST_AHEAD, Algorithm, Clip, Entropy, Kl, Normalisation


def gspo(
    clip: Clip = Clip(low=3e-4, high=4e-4),
    eps: Annotated[float, Field(ge=0)] = 1e-6,
    std_ddof: Literal[0, 1] = 1,
    normalisation: Normalisation = "sequence_mean",
    kl: Kl = Kl(),
    entropy: Entropy = Entropy(),
) -> Algorithm:
    """GRPO's advantages; the ratio is that of the whole completion, the geometric mean over its tokens, and
    it is clipped as a whole, in a range hundreds of times narrower. No KL.

    The gradient is that of GSPO-token (eq. 13 and 14), which is GSPO's where a completion has one advantage.
    With one update a batch the ratio is 1 and GSPO is GRPO: give optim.mini_batches.
    """
    from rlvr.algorithms import losses

    return Algorithm(
        name="gspo",
        credit=losses.GroupNormalised(eps, std_ddof),
        policy_loss=losses.PpoClip(clip, level="sequence"),
        weights=losses.Weights(normalisation),
        kl=kl,
        entropy=entropy,
        smallest_group=2,
        most_ahead=MOST_AHEAD,
    )
