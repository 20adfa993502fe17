"""Samples that older weights drew: the decoupled objective by hand, and its gradient where it has no bias."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from rlvr.algorithms.batch import WeightedBatch
from rlvr.algorithms.bundle import Clip, PolicyLoss
from rlvr.algorithms.losses import PpoClip, Reinforce
from rlvr.config.schema import Correction
from rlvr.learning.objective import policy_term

UNBOUNDED = 1e9


def batch_of(
    behaviour: Tensor,
    proximal: Tensor | None,
    advantages: Tensor,
    weights: Tensor,
    mask: Tensor | None = None,
) -> WeightedBatch:
    """All [B, T]; prompts of one token."""
    rows, width = behaviour.shape
    mask = torch.ones_like(behaviour) if mask is None else mask
    nothing, each = torch.zeros_like(behaviour), torch.zeros(rows)
    return WeightedBatch(
        tokens=torch.zeros(rows, 1 + width, dtype=torch.int64),
        prompt_len=torch.ones(rows, dtype=torch.int64),
        completion_len=torch.full((rows,), width),
        mask=torch.ones_like(behaviour),
        group=torch.zeros(rows, dtype=torch.int64),
        truncated=each > 0,
        correct=each > 0,
        rewards=each,
        greedy_rewards=each,
        token_rewards=nothing,
        engine_logprobs=behaviour,
        old_logprobs=proximal,
        ref_logprobs=None,
        kl_rewards=nothing,
        values=None,
        teacher_logprobs=None,
        advantages=advantages,
        returns=None,
        weights=weights,
    )


def loss_of(loss: PolicyLoss, correction: Correction, batch: WeightedBatch, logprobs: Tensor) -> Tensor:
    term = policy_term(loss, correction, batch, logprobs, batch.weights).loss
    assert term is not None
    return term


def log(*values: float) -> Tensor:
    return torch.tensor([values], dtype=torch.float64).log()


def test_decoupled_ppo_by_hand() -> None:
    """arXiv 2110.00641, eq. 2: pi_prox / pi_behav min(r A, clip(r) A), r = pi / pi_prox; weights capped."""
    behaviour, proximal = log(0.2, 0.4, 0.1, 0.5), log(0.3, 0.2, 0.5, 0.5)
    current = log(0.36, 0.26, 0.5, 0.3).requires_grad_()
    advantages = torch.tensor([[1.0, 2.0, -1.0, -3.0]], dtype=torch.float64)
    quarter = torch.full((1, 4), 0.25, dtype=torch.float64)
    batch = batch_of(behaviour, proximal, advantages, quarter)
    loss = loss_of(PpoClip(Clip()), Correction(by="truncate", cap=2.0), batch, current)
    # prox / behav: 1.5, 0.5, 5 capped to 2, 1. r: 1.2 (at the edge), 1.3 cut to 1.2, 1, 0.6 cut to 0.8.
    # min(r A, clip(r) A): 1.2, 2.4, -1, -2.4.
    assert loss.item() == pytest.approx(-0.25 * (1.5 * 1.2 + 0.5 * 2.4 + 2 * -1.0 + 1 * -2.4))
    (gradient,) = torch.autograd.grad(loss, current)
    assert gradient[0, 2].item() == pytest.approx(-0.25 * 2 * 1.0 * -1)  # factor, ratio, advantage
    assert gradient[0, [1, 3]].tolist() == [0.0, 0.0]  # cut
    masked = loss_of(PpoClip(Clip()), Correction(by="mask", cap=2.0), batch, current)
    assert masked.item() == pytest.approx(-0.25 * (1.2 + 2.4 + 0 - 2.4))


def test_the_factor_is_of_the_weights_before_the_step_in_each_of_its_updates() -> None:
    behaviour, proximal = log(0.2, 0.4), log(0.3, 0.2)
    one = torch.ones(1, 2, dtype=torch.float64)
    batch = batch_of(behaviour, proximal, one, one)
    for current in (log(0.3, 0.2), log(0.33, 0.18)):
        loss = loss_of(PpoClip(Clip()), Correction(by="truncate"), batch, current)
        ratio = (current - proximal).exp()[0].tolist()
        assert loss.item() == pytest.approx(-(1.5 * ratio[0] + 0.5 * ratio[1]))


# Every completion of two tokens of a vocabulary of three, as one batch whose rows weigh as often as they are
# drawn: what the estimator gives on average, without chance.
EVERY = torch.tensor(list(itertools.product(range(3), repeat=2)))
REWARD = torch.tensor([0.0, 1.0, -2.0, 0.5, 3.0, 0.0, 1.0, -1.0, 2.0], dtype=torch.float64)


def logprobs_of(table: Tensor) -> Tensor:
    """[9, 2] of every completion. table: [4, 3], logits of the first token, and of the second after each."""
    normal = table.log_softmax(-1)
    first, second = EVERY.unbind(1)
    return torch.stack([normal[0, first], normal[1 + first, second]], 1)


def bias(correction: Correction, loss: PolicyLoss, shift: float, seed: int) -> float:
    """How far the gradient lies, on average over the samples of older weights, from that of the expected
    reward, as a share of its length. shift: of the logits since, in standard deviations of 1."""
    chance = torch.Generator().manual_seed(seed)
    table, by = torch.randn(2, 4, 3, dtype=torch.float64, generator=chance)
    table.requires_grad_()
    behaviour = logprobs_of(table.detach() + shift * by)
    drawn = behaviour.sum(1).exp()
    advantages = REWARD - (drawn * REWARD).sum()
    batch = batch_of(behaviour, None, *(x[:, None].expand(-1, 2) for x in (advantages, drawn)))
    estimate = loss_of(loss, correction, batch, logprobs_of(table))
    (found,) = torch.autograd.grad(estimate, table)
    (true,) = torch.autograd.grad(-(logprobs_of(table).sum(1).exp() * REWARD).sum(), table)
    return ((found - true).norm() / true.norm()).item()


@pytest.mark.parametrize("loss", [Reinforce(), PpoClip(Clip())])
def test_with_the_ratio_of_the_whole_completion_and_no_cap_there_is_no_bias(loss: PolicyLoss) -> None:
    whole = Correction(by="truncate", level="sequence", cap=UNBOUNDED)
    assert max(bias(whole, loss, 0.5, seed) for seed in range(20)) < 1e-14


def test_what_bias_the_other_corrections_leave() -> None:
    """Tokens' own ratios take a part of it away; to drop what is far off none, as long as nothing is."""

    def left(**given: Any) -> float:
        return sum(bias(Correction(**given), Reinforce(), 0.1, seed) for seed in range(40)) / 40

    none, token = left(), left(by="truncate")
    assert none == left(by="mask") == pytest.approx(0.086, abs=0.001)
    assert token == pytest.approx(0.063, abs=0.002)
    assert left(by="truncate", level="sequence") < 1e-14
