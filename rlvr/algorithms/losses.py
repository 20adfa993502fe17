"""What an `Algorithm` is put together from: policy losses, the weights that normalise them, GRPO's credit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from rlvr.algorithms.bundle import Credit
from rlvr.algorithms.formulas import advantages, normalisation, policy_loss
from rlvr.algorithms.formulas.ratio import ratio, sequence_mean_ratio

if TYPE_CHECKING:
    from torch import Tensor

    from rlvr.algorithms.batch import CreditedBatch, ScoredBatch, StepCounts, TokenBatch
    from rlvr.algorithms.bundle import Clip, Normalisation


@dataclass(frozen=True)
class PpoClip:
    """The policy loss `ppo_clip` with the ratio of each token, or of its whole completion."""

    clip: Clip
    level: Literal["token", "sequence"] = "token"
    uses_ratio: ClassVar[bool] = True

    def __call__(self, logprobs: Tensor, batch: CreditedBatch) -> Tensor:
        r, c = self._ratio(logprobs, batch), self.clip
        return policy_loss.ppo_clip(r, batch.advantages, c.low, c.high, c.dual)

    def diagnostics(self, logprobs: Tensor, batch: CreditedBatch) -> dict[str, Tensor]:
        r, c = self._ratio(logprobs.detach(), batch), self.clip
        return {"clip_fraction": policy_loss.clipped_share(r, batch.advantages, c.low, c.high), "ratio": r}

    def _ratio(self, logprobs: Tensor, batch: CreditedBatch) -> Tensor:
        if self.level == "token":
            return ratio(logprobs, batch.old_logprobs)
        return sequence_mean_ratio(logprobs, batch.old_logprobs, batch.mask)


@dataclass(frozen=True)
class Cispo:
    """The policy loss `cispo`. cap: of the ratio by which a token is weighted."""

    cap: float
    uses_ratio: ClassVar[bool] = True

    def __call__(self, logprobs: Tensor, batch: CreditedBatch) -> Tensor:
        r = ratio(logprobs, batch.old_logprobs)
        return policy_loss.cispo(r, logprobs, batch.advantages, self.cap)

    def diagnostics(self, logprobs: Tensor, batch: CreditedBatch) -> dict[str, Tensor]:
        r = ratio(logprobs.detach(), batch.old_logprobs)
        return {"clip_fraction": (r > self.cap).to(r.dtype), "ratio": r}


@dataclass(frozen=True)
class Reinforce:
    """The policy loss `reinforce`: one update per batch, since it takes no ratio."""

    uses_ratio: ClassVar[bool] = False

    def __call__(self, logprobs: Tensor, batch: CreditedBatch) -> Tensor:
        return policy_loss.reinforce(logprobs, batch.advantages)

    def diagnostics(self, logprobs: Tensor, batch: CreditedBatch) -> dict[str, Tensor]:
        return {}


@dataclass(frozen=True)
class Weights:
    """A normalisation by its name; the constant of `fixed_length` is the token limit."""

    normalisation: Normalisation

    def __call__(self, batch: TokenBatch, counts: StepCounts) -> Tensor:
        match self.normalisation:
            case "sequence_mean":
                return normalisation.sequence_mean(batch.mask, counts.completions)
            case "sequence_sum":
                return normalisation.sequence_sum(batch.mask, counts.completions)
            case "token_mean":
                return normalisation.token_mean(batch.mask, counts.tokens)
            case "fixed_length":
                return normalisation.fixed_length(batch.mask, counts.completions, counts.max_new_tokens)
            case "group_token_mean":
                return normalisation.group_token_mean(batch.mask, batch.group, counts.groups)


@dataclass(frozen=True)
class GroupNormalised:
    """GRPO's credit: each completion's reward, normalised in its group, at all of its tokens."""

    eps: float
    ddof: int

    def __call__(self, batch: ScoredBatch) -> Credit:
        rewards = advantages.sequence_rewards(batch)
        advantage = advantages.group_normalised(rewards, batch.group, self.eps, self.ddof)
        return Credit(advantage[:, None] * batch.mask)
