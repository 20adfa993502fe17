"""GRPO: Group Relative Policy Optimization, arXiv 2402.03300, eq. 3 and 4."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rlvr.algorithm import Algorithm, Kl


def grpo(
    clip_low: Annotated[float, Field(gt=0, lt=1)] = 0.2,
    clip_high: Annotated[float, Field(gt=0)] = 0.2,
    eps: Annotated[float, Field(ge=0)] = 1e-6,
    std_ddof: Literal[0, 1] = 1,
    kl: Annotated[float, Field(ge=0)] = 0.04,
) -> Algorithm:
    """Rewards normalised in their group, PPO clip, mean over tokens then completions, k3 in the loss.

    The paper leaves eps and the ddof of the standard deviation open: here 1e-6 and 1.
    """
    from rlvr import advantages, losses

    return Algorithm(
        name="grpo",
        credit=lambda b: b.mask * advantages.group_normalised(b.rewards, b.group, eps, std_ddof)[:, None],
        policy_loss=lambda logprobs, b: losses.ppo_clip(
            logprobs, b.old_logprobs, b.advantages, clip_low, clip_high
        ),
        weights=lambda b, counts: losses.sequence_mean(b.mask, counts.completions),
        kl=Kl(kl, "k3"),
        uses_ratio=True,
        diagnostics=lambda logprobs, b: {
            "clip_fraction": losses.clipped_share(logprobs, b.old_logprobs, b.advantages, clip_low, clip_high)
        },
    )
