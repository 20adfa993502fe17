"""The six algorithms as the study of arXiv 2504.13837 ran them: with the defaults of verl, April 2025.

Token mean for every algorithm, PPO's clip with dual clip 3 also where the paper has no ratio, whitening
over tokens with ddof 1. Not copied: verl averaged the token means of micro-batches, so that the gradient
depended on their size; the token mean here is that of the whole optimizer step.
"""

from __future__ import annotations

from rlvr.algorithms.bundle import Clip, Kl, Whitening
from rlvr.algorithms.dapo import dapo
from rlvr.algorithms.grpo import grpo
from rlvr.algorithms.ppo import ppo
from rlvr.algorithms.reinforce_pp import reinforce_pp
from rlvr.algorithms.remax import remax
from rlvr.algorithms.rloo import rloo
from rlvr.config.registry import with_defaults

DUAL = Clip(dual=3.0)
TOKENS = Whitening(by="tokens", ddof=1)

grpo_verl = with_defaults(
    grpo, "grpo_verl", clip=DUAL, std_ddof=1, normalisation="token_mean", kl=Kl(coefficient=0.0)
)
ppo_verl = with_defaults(ppo, "ppo_verl", clip=DUAL, whitening=TOKENS, normalisation="token_mean")
rloo_verl = with_defaults(rloo, "rloo_verl", loss="ppo_clip", clip=DUAL, normalisation="token_mean")
reinforce_pp_verl = with_defaults(
    reinforce_pp, "reinforce_pp_verl", clip=DUAL, whitening=TOKENS, normalisation="token_mean"
)
remax_verl = with_defaults(remax, "remax_verl", loss="ppo_clip", clip=DUAL, normalisation="token_mean")
dapo_verl = with_defaults(
    dapo, "dapo_verl", clip=Clip(low=0.2, high=0.28, dual=3.0), std_ddof=1, normalisation="token_mean"
)
