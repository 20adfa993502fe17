"""The learning rate over a run, and which parameters decay."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from rlvr.config.schema import OptimConfig
from rlvr.learning.optimizer import decay_groups, make_optimizer, rate_share


@pytest.mark.parametrize(
    ("settings", "shares"),
    [
        ({}, [1, 1, 1, 1, 1, 1]),
        ({"warmup_steps": 2}, [0.5, 1, 1, 1, 1, 1]),
        ({"schedule": "linear"}, [1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]),
        ({"schedule": "linear", "warmup_steps": 2}, [0.5, 1, 1, 0.75, 0.5, 0.25]),
        ({"schedule": "linear", "warmup_steps": 2, "min_share": 0.2}, [0.5, 1, 1, 0.8, 0.6, 0.4]),
        # cos of 0, 60 and 120 degrees
        ({"schedule": "cosine", "warmup_steps": 3}, [1 / 3, 2 / 3, 1, 1, 0.75, 0.25]),
    ],
)
def test_shares_by_hand(settings: dict[str, object], shares: list[float]) -> None:
    optim = OptimConfig.model_validate(settings)
    assert [rate_share(optim, n, 6) for n in range(6)] == pytest.approx(shares)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [("linear", get_linear_schedule_with_warmup), ("cosine", get_cosine_schedule_with_warmup)],
)
def test_after_the_warmup_as_transformers_has_it(name: str, theirs: object) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = theirs(optimizer, 10, 50)  # type: ignore[operator]
    optim = OptimConfig.model_validate({"schedule": name, "warmup_steps": 10})
    for update in range(50):
        if update >= 10:
            assert rate_share(optim, update, 50) == pytest.approx(schedule.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        schedule.step()


def test_norms_and_biases_decay_where_all_do() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    (one,) = decay_groups(model.parameters(), 0.1, OptimConfig(weight_decay=0.5))
    assert len(one["params"]) == 4
    optim = OptimConfig(weight_decay=0.5, decay="matrices")
    optimizer = make_optimizer(decay_groups(model.parameters(), 0.1, optim), optim)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = [p.detach().clone() for p in model.parameters()]
    optimizer.step()
    after = [torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True)]
    assert after == [False, True, True, True]  # weight, bias, scale, shift; shift is 0 anyhow
    torch.testing.assert_close(next(model.parameters()), before[0] * (1 - 0.1 * 0.5))
