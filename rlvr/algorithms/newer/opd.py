"""On-policy distillation: the policy's samples, the teacher's judgement of every token.

MiniLLM, arXiv 2306.08543, and GKD, arXiv 2306.13649, with reverse KL on the student's own samples.
"""

from __future__ import annotations

from typing import Literal

from rlvr.algorithms.batch import ScoredBatch
from rlvr.algorithms.bundle import Algorithm, Credit, Entropy, Kl, Normalisation


def opd(
    over: Literal["vocabulary", "samples"] = "vocabulary",
    normalisation: Normalisation = "token_mean",
    kl: Kl = Kl(),
    entropy: Entropy = Entropy(),
) -> Algorithm:
    """KL(policy || teacher) at every token of the policy's samples, by the state that the policy came to: how
    it came there is taken as given, as in GKD, so no reward and no credit from later tokens.

    over=vocabulary: exact, the sum over the vocabulary and its gradient. samples: its estimate by the token
    that was drawn, as a reward, log teacher - log policy, with REINFORCE; it needs no more of the teacher
    than log-probs. `rewards.*` do not matter.
    """
    from rlvr.algorithms import losses
    from rlvr.algorithms.formulas.masks import selected

    if kl.coefficient and kl.paid == "reward":
        raise ValueError("opd takes no rewards, so KL cannot be paid in them: set algorithm.kl.paid=loss")

    def credit(b: ScoredBatch) -> Credit:
        if b.teacher_logprobs is None:
            return Credit(b.mask * 0.0)
        return Credit(selected(b.teacher_logprobs - b.engine_logprobs, b.mask))

    return Algorithm(
        name="opd",
        credit=credit,
        policy_loss=losses.Reinforce() if over == "samples" else None,
        weights=losses.Weights(normalisation),
        kl=kl,
        entropy=entropy,
        taught=over,
        by_verdict=True,
    )
