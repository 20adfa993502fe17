"""What is not trained on reaches neither loss nor metrics nor weights, whatever stands there."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from algorithm_cases import CASES, run, uses_ratio
from torch import Tensor
from toys import (
    toy_algorithm,
    toy_batch,
    toy_groups,
    toy_learner,
    toy_model,
)

from rlvr.algorithms.batch import TokenBatch
from rlvr.algorithms.formulas import advantages
from rlvr.algorithms.formulas.masks import selected
from rlvr.config.schema import Correction, RolloutConfig
from rlvr.learning.actor_critic import ActorCritic, Scores
from rlvr.rollouts.collect import to_batch

TRUNCATE = Correction(by="truncate", level="sequence")
POISON = (math.nan, math.inf, -math.inf, -1e30)


def poison(*shape: int) -> Tensor:
    """Each of them in turn: any one that gets through is seen."""
    return torch.tensor(POISON).repeat(math.prod(shape) // len(POISON) + 1)[: math.prod(shape)].view(shape)


@pytest.mark.parametrize("value", [None, *(pytest.param(v, marks=pytest.mark.slow) for v in POISON)])
@pytest.mark.parametrize(
    "settings", [{}, {"mini_batches": 2, "epochs": 2}], ids=["one update", "four updates"]
)
@pytest.mark.parametrize("case", CASES)
def test_what_stands_at_a_masked_token_reaches_nothing(
    case: str, settings: dict[str, int], value: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Padding, a token in the middle and a whole completion: loss, metrics and gradient to the bit.

    value: None for all of POISON at once.
    """

    def worse(x: Tensor, mask: Tensor) -> Tensor:
        return torch.where(mask > 0, x, (poison(*x.shape) if value is None else value))

    if settings and not uses_ratio(case):
        settings = {}
    batch = toy_batch()
    mask = batch.mask.clone()
    mask[0, 0] = mask[5] = mask[6, 1] = 0
    batch = replace(batch, mask=mask, engine_logprobs=torch.where(mask > 0, batch.engine_logprobs, -1.0))
    settings = settings | {"rollouts": RolloutConfig(max_new_tokens=9, correction=TRUNCATE)}
    expected = run(case, batch, **settings)
    forward = ActorCritic.forward

    def poisoned(self: ActorCritic, batch: TokenBatch, *more: Any) -> Scores:
        scores = forward(self, batch, *more)
        return Scores(*(x if x is None else worse(x, batch.mask) for x in scores))

    monkeypatch.setattr(ActorCritic, "forward", poisoned)
    metrics, found = run(
        case,
        replace(
            batch,
            engine_logprobs=worse(batch.engine_logprobs, mask),
            token_rewards=worse(batch.token_rewards, mask),
        ),
        **settings,
    )
    assert metrics == expected[0]
    assert all(torch.equal(found[name], gradient) for name, gradient in expected[1].items())


@pytest.mark.parametrize("value", POISON)
def test_formulas_select_what_is_trained_on(value: float) -> None:
    mask = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    clean = torch.tensor([[0.5, 0.0, -0.25], [0.0, 0.0, 0.0]])
    poisoned = torch.where(mask > 0, clean, value)
    rewards = torch.tensor([1.0, 0.0])
    for formula in (
        lambda x: advantages.rewards_at_end(rewards, mask, x),
        lambda x: torch.stack(advantages.gae(clean, x, mask, 0.9, 0.95)),
        lambda x: torch.stack(advantages.gae(x, clean, mask, 0.9, 0.95)),
        lambda x: advantages.return_to_go(x, mask, 0.9),
        lambda x: advantages.leave_one_out_by_step(rewards, x, mask, torch.zeros(2, dtype=torch.int64)),
        lambda x: advantages.moments(x, mask),
        lambda x: advantages.whitened(x, mask, advantages.moments(x, mask), 1),
        lambda x: selected(x, mask),
    ):
        assert torch.equal(formula(poisoned), formula(clean))
    values = poisoned.clone().requires_grad_()
    selected(values.exp(), mask).sum().backward()
    assert values.grad is not None and (values.grad[mask > 0] == clean.exp()[mask > 0]).all()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_reward_that_is_no_number_never_reaches_the_weights(value: float) -> None:
    batch = toy_batch()
    rewards = batch.rewards.clone()
    rewards[5] = value
    learner = toy_learner(toy_algorithm("grpo"), toy_model(), reference=toy_model(1), lr=0.1)
    before = copy.deepcopy(learner.policy.plain.state_dict())
    metrics, skipped = learner.update(learner.credit(learner.score(replace(batch, rewards=rewards))), 1)
    assert skipped and metrics["loss/skipped"] == 1
    for key, tensor in learner.policy.plain.state_dict().items():
        assert torch.equal(tensor, before[key])


@pytest.mark.parametrize("case", CASES)
def test_a_batch_without_trained_tokens_moves_nothing(case: str) -> None:
    batch = toy_batch()
    metrics, found = run(case, replace(batch, mask=torch.zeros_like(batch.mask)))
    assert all(math.isfinite(v) for v in metrics.values())
    assert all(g.abs().max() == 0 for g in found.values())


def test_masked_truncated_rows_leave_the_denominator_and_stay_in_the_statistics() -> None:
    groups = toy_groups()
    batch = to_batch(groups, mask_truncated=True)
    assert 0 < int((~batch.mask.any(1)).sum()) == int(batch.truncated.sum()) < 16
    algorithm = toy_algorithm("grpo", kl={"coefficient": 0.0})
    learner = toy_learner(algorithm, toy_model())
    credited = learner.credit(learner.score(batch))
    whole = learner.credit(learner.score(to_batch(groups)))
    torch.testing.assert_close(credited.advantages, whole.advantages * batch.mask)
    weights = algorithm.weights(credited, learner._counts(batch))
    assert weights.sum().item() == pytest.approx(1.0)
