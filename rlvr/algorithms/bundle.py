"""What an algorithm is: the functions and settings that the training loop asks for.

Nothing here loads torch, so a configuration is checked before torch is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from torch import Tensor

    from rlvr.algorithms.batch import CreditedBatch, ScoredBatch, StepCounts

Coefficient = Annotated[float, Field(ge=0)]
Normalisation = Literal["sequence_mean", "token_mean", "sequence_sum", "fixed_length", "group_token_mean"]
# Where what is given for single steps or tokens is credited: to the whole completion as one action, or to the
# tokens up to the one at which it is given.
Credited = Literal["outcome", "steps"]

# The most steps by which the weights that drew may be older, where the policy's loss alone depends on who
# drew: as many as TRL's asynchronous trainer allows unless it is told otherwise.
MOST_AHEAD = 4
# Where a critic's targets do too, which nothing corrects.
MOST_AHEAD_OF_CRITIC = 1


class Settings(BaseModel):
    """A group of an algorithm's settings; a key that a recipe omits keeps the builder's default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Kl(Settings):
    """The penalty for leaving the reference model; with coefficient 0 there is no reference model.

    estimator: see `formulas.kl`. paid: added to the loss per token, or subtracted from the reward.
    by_ratio: in the loss, weighted by the ratio to the old policy, which makes k3's gradient that of the
    reverse KL (arXiv 2512.02556); TRL's default, in no paper of these algorithms.
    target: nats a token. The coefficient begins as given and is led there (arXiv 1909.08593, section 2.2).
    reset_every, reset_above: every so many training steps, or after one whose KL was above so many nats a
    token, the reference becomes the policy as it then is and the optimizer begins anew (ProRL,
    arXiv 2505.24864).
    """

    coefficient: Coefficient = 0.0
    estimator: Literal["k1", "k2", "k3"] = "k3"
    paid: Literal["loss", "reward"] = "loss"
    by_ratio: bool = False
    target: Annotated[float, Field(gt=0)] | None = None
    reset_every: Annotated[int, Field(gt=0)] | None = None
    reset_above: Annotated[float, Field(gt=0)] | None = None

    @property
    def resets(self) -> bool:
        return self.reset_every is not None or self.reset_above is not None


class Clip(Settings):
    """PPO's clip range, 1 - low to 1 + high. dual: where the advantage A is negative, the loss is at most
    -dual A (arXiv 1912.09729, eq. 5); None is off."""

    low: Annotated[float, Field(gt=0, lt=1)] = 0.2
    high: Annotated[float, Field(gt=0)] = 0.2
    dual: Annotated[float, Field(gt=1)] | None = None


class Entropy(Settings):
    """A bonus for the entropy of the policy's distribution of the next token: coefficient times its mean over
    the trained tokens of an optimizer step is taken off the loss, whatever the normalisation.

    target: in nats. With one, the coefficient begins as given, rises by `rate` after a training step whose
    entropy was below it, falls by as much (to 0 at the least) after one above, and applies only after a
    step that was not above (adaptive entropy control, Skywork-OR1, arXiv 2505.22312). None: it stays.
    """

    coefficient: Coefficient = 0.0
    target: Annotated[float, Field(gt=0)] | None = None
    rate: Annotated[float, Field(gt=0)] = 0.005


class Whitening(Settings):
    """Scales advantages to mean 0 and standard deviation 1 over all ranks. by: whether each token or each
    completion counts once; none is off."""

    by: Literal["tokens", "completions", "none"] = "tokens"
    ddof: Literal[0, 1] = 1


class Critic(Settings):
    """The value model. trunk: a copy of the policy's, or the policy's own with a head on it.

    warmup_steps: training steps in which only the critic learns. value_clip: how far from its old value a
    value may move before its loss stops falling; None is off.
    """

    lr: Annotated[float, Field(gt=0)] = 1e-5
    value_clip: Annotated[float, Field(gt=0)] | None = 0.5
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    trunk: Literal["copy", "shared"] = "copy"
    coefficient: Annotated[float, Field(gt=0)] = 1.0


class Credit(NamedTuple):
    """advantages [B, T], 0 where the mask is 0; returns [B, T], the critic's targets, None without one."""

    advantages: Tensor
    returns: Tensor | None = None


class PolicyLoss(Protocol):
    """(logprobs [B, T], CreditedBatch) -> loss per token [B, T], unweighted.

    uses_ratio: whether it compares with old log-probs, which allows several updates on one batch.
    diagnostics: numbers per token [B, T] whose means are logged as loss/*.
    """

    @property
    def uses_ratio(self) -> bool: ...

    def __call__(self, logprobs: Tensor, batch: CreditedBatch) -> Tensor: ...

    def diagnostics(self, logprobs: Tensor, batch: CreditedBatch) -> dict[str, Tensor]: ...


@dataclass(frozen=True)
class Draws:
    """What is sampled for a step besides group_size completions per problem.

    greedy: one greedy completion per problem as well.
    keep: whether a group is trained on, given which of its completions are correct; if groups are
    dropped, more problems are drawn, at most max_draws times, and then the run stops or trains on
    what it has.
    """

    greedy: bool = False
    keep: Callable[[Sequence[bool]], bool] | None = None
    max_draws: int = 1
    at_bound: Literal["stop", "train"] = "stop"


@dataclass(frozen=True)
class Algorithm:
    """An RLVR algorithm.

    credit: ScoredBatch -> Credit, from the rewards of whole groups of one rank.
    whitening: done after it, over all ranks.
    weights: (CreditedBatch, StepCounts) -> each token's share of the loss [B, T]; made once per optimizer
    step, so the gradient does not depend on micro-batches, padding or the number of ranks.
    smallest_group: completions per problem that it needs; in smaller groups every advantage is 0.
    by_step: whether it credits what is given for a step to the tokens up to it, and not to all.
    by_verdict: whether verdicts, and not only rewards, decide what it does.
    policy_loss: None where the teacher's KL is all of it.
    taught: what it asks of the teacher, if it has one: log-probs of the samples, which are part of the batch
    that gets credit, or KL(policy || teacher) over the vocabulary, which is added to the loss.
    most_ahead: the most of `rollouts.ahead` that it takes, by how many steps the weights that drew may be
    older; with any the policy loss is corrected (`rlvr.learning.off_policy`), and nothing else.
    """

    name: str
    credit: Callable[[ScoredBatch], Credit]
    policy_loss: PolicyLoss | None
    weights: Callable[[CreditedBatch, StepCounts], Tensor]
    kl: Kl = Kl()
    entropy: Entropy = Entropy()
    whitening: Whitening = Whitening(by="none")
    draws: Draws = Draws()
    critic: Critic | None = None
    smallest_group: int = 1
    by_step: bool = False
    by_verdict: bool = False
    taught: Literal["samples", "vocabulary"] | None = None
    most_ahead: int = 0

    def __post_init__(self) -> None:
        keys = ("target", "reset_every", "reset_above")
        given = [f"algorithm.kl.{key}" for key in keys if getattr(self.kl, key) is not None]
        if given and not self.kl.coefficient:
            raise ValueError(
                f"{', '.join(given)}: with algorithm.kl.coefficient=0 there is no reference model; give a "
                "coefficient, or leave them out"
            )
