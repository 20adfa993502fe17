"""What is trained is never saved with a number that is not finite."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from toys import learn, toy_algorithm, toy_batch, toy_learner, toy_model

from rlvr.core.checkpoint import Checkpoint, commit, newest_valid
from rlvr.learning.parallel import not_finite
from rlvr.learning.policy import NonFiniteError, Policy


@pytest.fixture(scope="module")
def trained() -> Policy:
    """With a critic, after an update, so that the optimizer has its states."""
    learner = toy_learner(toy_algorithm("ppo"), toy_model(dtype=torch.float32), lr=1e-4)
    learn(learner, toy_batch())
    return learner.policy


def moments(policy: Policy) -> Any:
    return next(iter(policy.parallel.optimizer.state.values()))["exp_avg"]  # type: ignore[attr-defined]


SPOILT: dict[str, Callable[[Policy], Any]] = {
    "a weight": lambda policy: next(iter(policy.plain.policy.parameters())),
    "the last weight": lambda policy: list(policy.plain.policy.parameters())[-1],
    "the critic": lambda policy: policy.plain.critic_parameters()[-1],
    "the optimizer": moments,
}


@pytest.mark.parametrize("number", [math.nan, math.inf])
@pytest.mark.parametrize("where", SPOILT)
def test_nothing_of_it_is_committed(trained: Policy, where: str, number: float, tmp_path: Path) -> None:
    def write(checkpoint: Checkpoint) -> None:
        trained.save(checkpoint.policy, checkpoint.trainer)

    commit(tmp_path, 1, write, keep_last=2)
    spoilt = SPOILT[where](trained).data.view(-1)
    before = spoilt[-1].item()
    spoilt[-1] = number
    with pytest.raises(NonFiniteError, match="not finite"):
        commit(tmp_path, 2, write, keep_last=2)
    spoilt[-1] = before
    found, passed_over = newest_valid(tmp_path)
    assert found is not None and found.step == 1 and not passed_over
    commit(tmp_path, 2, write, keep_last=2)


def test_what_is_not_finite_is_named() -> None:
    tree = {
        "a": [torch.ones(2), torch.tensor([1.0, math.nan])],
        "b": {"c": math.inf, "d": torch.ones(1).int()},
    }
    assert not_finite(tree) == ["a.1", "b.c"]
