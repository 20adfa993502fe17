"""What an algorithm is: the bundle of functions and data that the one training loop asks for.

Nothing here runs torch: an algorithm's builder is importable, and its configuration checked, before
torch is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

    from rlvr.batch import Batch, Counts


@dataclass(frozen=True)
class Kl:
    """The penalty for leaving the reference model. A coefficient of 0 needs no reference model.

    estimator: k1, k2 or k3 (ALGORITHM docstrings say which, and why); see `rlvr.losses.kl`.
    """

    coefficient: float = 0.0
    estimator: Literal["k1", "k2", "k3"] = "k3"


@dataclass(frozen=True)
class Algorithm:
    """An RLVR algorithm.

    credit: Batch -> advantages [B, T], from the rewards of whole groups.
    policy_loss: (logprobs [B, T], Batch) -> loss per token [B, T], unweighted.
    weights: (Batch, Counts) -> each token's share of the loss [B, T]; made once per optimizer step, so
        the gradient does not depend on micro-batches, padding or the number of ranks.
    kl: the penalty against the reference, added to the loss per token.
    uses_ratio: whether policy_loss compares with old log-probs, which allows several updates a batch.
    diagnostics: (logprobs, Batch) -> numbers per token [B, T] whose means are logged as loss/*.
    """

    name: str
    credit: Callable[[Batch], Tensor]
    policy_loss: Callable[[Tensor, Batch], Tensor]
    weights: Callable[[Batch, Counts], Tensor]
    kl: Kl
    uses_ratio: bool
    diagnostics: Callable[[Tensor, Batch], dict[str, Tensor]]
