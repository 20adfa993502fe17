"""Pass@k training with analytic advantages, arXiv 2508.10751, section 2.4: optimises pass@k itself."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from rlvr.algorithms.batch import ScoredBatch
from rlvr.algorithms.bundle import MOST_AHEAD, Algorithm, Clip, Credit, Entropy, Kl, Normalisation


def passk(
    k: Annotated[int, Field(ge=1)] = 4,
    clip: Clip = Clip(),
    normalisation: Normalisation = "token_mean",
    kl: Kl = Kl(),
    entropy: Entropy = Entropy(),
) -> Algorithm:
    """A completion's advantage is its share in the pass@k of its group, by verdicts: `rewards.*` do not
    matter. k = 1 is GRPO with ddof 0. In a group of k completions all have the same share, so it has to be
    larger. The rest is as in DAPO, which the paper trains with.
    """
    from rlvr.algorithms import losses
    from rlvr.algorithms.formulas import advantages

    if kl.coefficient and kl.paid == "reward":
        raise ValueError("passk takes no rewards, so KL cannot be paid in them: set algorithm.kl.paid=loss")

    def credit(b: ScoredBatch) -> Credit:
        advantage = advantages.pass_at_k_advantage(b.correct, b.group, k)
        return Credit(advantage.to(b.mask.dtype)[:, None] * b.mask)

    return Algorithm(
        name="passk",
        credit=credit,
        policy_loss=losses.PpoClip(clip),
        weights=losses.Weights(normalisation),
        kl=kl,
        entropy=entropy,
        smallest_group=k + 1,
        most_ahead=MOST_AHEAD,
        by_verdict=True,
    )
