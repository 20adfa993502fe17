"""Advantages: pure functions of rewards. Shapes: B completions, T tokens."""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from rlvr.algorithms.formulas.masks import selected

if TYPE_CHECKING:
    from rlvr.algorithms.batch import ScoredBatch


class GroupStats(NamedTuple):
    """Statistics of each row's group, float64, in the shape of the rewards. `equal`: all of the group are
    the same."""

    mean: Tensor
    std: Tensor
    size: Tensor
    equal: Tensor


def group_stats(rewards: Tensor, group: Tensor, ddof: int = 1) -> GroupStats:
    """Mean, standard deviation (0 for groups of ddof or fewer) and size of each row's group.

    rewards: [B] float, or [B, T], each column for itself. group: [B] int, any labels in any order.
    """
    labels, index = torch.unique(group, return_inverse=True)
    values = rewards.double()
    zeros = values.new_zeros(len(labels), *values.shape[1:])
    at = index if values.dim() == 1 else index[:, None].expand_as(values)

    def total(x: Tensor) -> Tensor:
        return zeros.index_add(0, index, x)[index]

    size = total(torch.ones_like(values))
    mean = total(values) / size
    std = (total((values - mean) ** 2) / (size - ddof).clamp(min=1)).sqrt()
    low = zeros.scatter_reduce(0, at, values, "amin", include_self=False)[index]
    high = zeros.scatter_reduce(0, at, values, "amax", include_self=False)[index]
    return GroupStats(mean, torch.where(size > ddof, std, 0.0), size, low == high)


def group_normalised(rewards: Tensor, group: Tensor, eps: float = 1e-6, ddof: int = 1) -> Tensor:
    """(R - mean) / (std + eps) within each group: GRPO, arXiv 2402.03300, section 4.1.2.

    rewards: [B], group: [B]; returns [B]. Exactly 0 where all rewards of a group are equal, by that
    test: rounding leaves a "std" that a small eps would blow up.
    """
    stats = group_stats(rewards, group, ddof)
    advantage = (rewards.double() - stats.mean) / (stats.std + eps)
    return torch.where(stats.equal, 0.0, advantage).to(rewards.dtype)


def group_centred(rewards: Tensor, group: Tensor) -> Tensor:
    """R - group mean, [B]: Dr. GRPO, arXiv 2503.20783, and REINFORCE++-baseline, 2501.03262, eq. 6."""
    return (rewards.double() - group_stats(rewards, group).mean).to(rewards.dtype)


def leave_one_out(rewards: Tensor, group: Tensor) -> Tensor:
    """R - mean of the others' R in the group: RLOO, arXiv 2402.14740, eq. 8. [B] -> [B], [B, T] -> [B, T].

    Exactly 0 where all rewards of a group are equal, and for a group of one.
    """
    stats = group_stats(rewards, group)
    others = (stats.mean * stats.size - rewards.double()) / (stats.size - 1).clamp(min=1)
    return torch.where(stats.equal, 0.0, rewards.double() - others).to(rewards.dtype)


def pass_at_k_advantage(correct: Tensor, group: Tensor, k: int) -> Tensor:
    """Each completion's share in the pass@k of its group: arXiv 2508.10751, section 2.4.

    With N completions of which M are wrong, R = 1 - C(M, k) / C(N, k) and S = sqrt(R (1 - R)):
    (1 - R) / S for a correct one, (1 - R - C(M-1, k-1) / C(N-1, k-1)) / S for a wrong one, 0 if S is 0.
    It is the mean over the k-subsets with that completion of (subset's pass - R) / S.

    correct: [B] bool, group: [B]; returns [B] float64. Raises ValueError for a group smaller than k.
    """
    advantage = torch.zeros(len(correct), dtype=torch.float64)
    for label in group.unique():
        rows = (group == label).nonzero()[:, 0].cpu()
        right = correct[rows.to(correct.device)].cpu()
        n, wrong = len(rows), int((~right).sum())
        if n < k:
            raise ValueError(f"pass@{k} needs groups of at least {k} completions, one has {n}")
        mean = 1 - comb(wrong, k) / comb(n, k)
        spread = (mean * (1 - mean)) ** 0.5
        if spread > 0:
            blame = comb(wrong - 1, k - 1) / comb(n - 1, k - 1)
            advantage[rows] = (1 - mean - (~right).double() * blame) / spread
    return advantage.to(correct.device)


def unlikely_rewards(rewards: Tensor, logprob: Tensor, group: Tensor, penalty: float) -> Tensor:
    """R (1 - penalty x n / G), n: how many of the G in its group are less likely. [B] each.

    The unlikeliness reward of arXiv 2506.02355, section 4: among right completions the rarer are worth more.
    logprob: of whole completions. Equal ones share a rank, so that the order of the rows does not matter.
    """
    alike = group[:, None] == group[None, :]
    less = (alike & (logprob[None, :] < logprob[:, None])).sum(1)
    return rewards * (1 - penalty * less / alike.sum(1)).to(rewards.dtype)


def signed(correct: Tensor, positive: float, negative: float) -> Tensor:
    """`positive` where a completion is correct, -`negative` where not, [B] float64: arXiv 2506.01347."""
    zeros = torch.zeros(correct.shape, dtype=torch.float64, device=correct.device)
    return torch.where(correct, zeros + positive, zeros - negative)


def sequence_rewards(batch: ScoredBatch) -> Tensor:
    """[B]: each completion's reward with the KL that is part of it, as if it were one action."""
    return batch.rewards + selected(batch.kl_rewards, batch.mask).sum(1)


def zero_by_construction(advantages: Tensor, batch: ScoredBatch) -> bool:
    """Whether no trained token has an advantage though a group's verdicts and rewards differ.

    advantages: [B, T]. Where all completions of each group are alike, zeros are what the data say.
    """
    trained = batch.mask.any(1)
    if not trained.any() or (advantages[trained] != 0).any():
        return False
    group = batch.group[trained]
    alike = [group_stats(x[trained].float(), group).equal for x in (batch.rewards, batch.correct)]
    return bool((~alike[0] & ~alike[1]).any())


def apart(batch: ScoredBatch) -> tuple[Tensor, Tensor]:
    """What a completion is worth as a whole [B], and what is given at its trained tokens [B, T].

    What is given at other tokens is part of the whole. KL is part of neither.
    """
    token_rewards = selected(batch.token_rewards, batch.mask)
    return batch.rewards - token_rewards.sum(1), token_rewards


def rewards_where_given(batch: ScoredBatch) -> Tensor:
    """Token rewards [B, T]: those of single tokens at these, the rest at the end, plus the KL's."""
    whole, token_rewards = apart(batch)
    return rewards_at_end(whole, batch.mask, token_rewards + selected(batch.kl_rewards, batch.mask))


def rewards_at_end(rewards: Tensor, mask: Tensor, kl_rewards: Tensor) -> Tensor:
    """Token rewards [B, T]: a completion's reward [B] on its last trained token, plus kl_rewards [B, T]."""
    after = mask.flip(1).cumsum(1).flip(1)
    token_rewards = torch.where((mask > 0) & (after == 1), rewards[:, None].to(mask.dtype), 0.0)
    return token_rewards + selected(kl_rewards, mask)


def return_to_go(token_rewards: Tensor, mask: Tensor, gamma: float = 1.0) -> Tensor:
    """Discounted sum of the rewards of this and all later trained tokens, [B, T], 0 where the mask is 0.

    REINFORCE++, arXiv 2501.03262, eq. 4: the return from t on.
    """
    advantages, _ = gae(token_rewards, None, mask, gamma, 1.0)
    return advantages


def leave_one_out_by_step(
    outcome: Tensor, token_rewards: Tensor, mask: Tensor, group: Tensor, gamma: float = 1.0
) -> Tensor:
    """A_t = R - mean of the others' R + G_t - mean of the others' G_t, [B, T], 0 where the mask is 0.

    outcome: R, [B], without the token rewards [B, T]. G_t: the discounted sum of the token rewards at t and
    after it, 0 beyond the end. Both returns are leave-one-out by themselves and then added, as in PRIME,
    arXiv 2502.01456; there the others' mean token reward is taken off each token, so that the
    advantage depends on how many are still to come. Here the baseline is the others' return from the same
    place, on which this completion has no influence, so that the gradient stays unbiased (arXiv 1301.2315).
    """
    returns = return_to_go(token_rewards, mask, gamma)
    return (leave_one_out(outcome, group)[:, None] + leave_one_out(returns, group)) * mask


def gae(
    token_rewards: Tensor, values: Tensor | None, mask: Tensor, gamma: float = 1.0, lam: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation, arXiv 1506.02438, eq. 16, over the trained tokens alone.

    values: None, without a critic, is a baseline of 0. All [B, T]; returns (advantages, returns = advantages
    + values), 0 where the mask is 0.
    """
    values = torch.zeros_like(mask) if values is None else values
    advantages = torch.zeros_like(mask)
    running = mask.new_zeros(len(mask))
    next_value = mask.new_zeros(len(mask))
    for t in reversed(range(mask.shape[1])):
        trained = mask[:, t] > 0
        delta = token_rewards[:, t] + gamma * next_value - values[:, t]
        running = torch.where(trained, delta + gamma * lam * running, running)
        next_value = torch.where(trained, values[:, t], next_value)
        advantages[:, t] = torch.where(trained, running, 0.0)
    return advantages, selected(advantages + values, mask)


def moments(values: Tensor, share: Tensor) -> Tensor:
    """[3] float64: total share, weighted sum and weighted sum of squares; they add up over ranks."""
    weights, values = share.double(), selected(values.double(), share)
    return torch.stack([weights.sum(), (weights * values).sum(), (weights * values.square()).sum()])


def whitened(values: Tensor, mask: Tensor, total: Tensor, ddof: int, eps: float = 1e-8) -> Tensor:
    """(x - mean) / sqrt(var + eps) with the mean and variance of all ranks' `moments`; [B, T].

    ddof: the variance is the mean square deviation times n / (n - ddof), n the total share.
    """
    count = total[0].clamp(min=1e-30)  # nothing is trained on: the mask leaves zeros
    mean = total[1] / count
    variance = (total[2] / count - mean.square()).clamp(min=0) * count / (count - ddof).clamp(min=1)
    return selected((values.double() - mean) / (variance + eps).sqrt(), mask).to(values.dtype)
