"""The entropy bonus: its coefficient by hand, and its share of the loss of a step."""

from __future__ import annotations

import pytest
import torch
from toys import learn, toy_algorithm, toy_batch, toy_learner, toy_model

from rlvr.algorithms.bundle import Entropy
from rlvr.learning.objective import EntropyControl


def test_without_a_target_the_coefficient_stays() -> None:
    control = EntropyControl(Entropy(coefficient=0.01))
    for entropy in (0.0, 3.0):
        control.observe(entropy)
        assert control.applied == 0.01


def test_a_target_leads_it() -> None:
    """arXiv 2505.22312: up by the rate below the target, down above it, and 0 for the step after."""
    control = EntropyControl(Entropy(target=0.5, rate=0.25))
    applied = []
    for entropy in (0.4, 0.3, 0.5, 0.6, 0.7, 0.9, 0.2):
        control.observe(entropy)
        applied.append((control.coefficient, control.applied))
    assert applied == [(0.25, 0.25), (0.5, 0.5), (0.5, 0.5), (0.25, 0), (0.0, 0), (0.0, 0), (0.25, 0.25)]


def test_it_goes_on_where_it_was_saved() -> None:
    one, other = (EntropyControl(Entropy(target=0.5, rate=0.25)) for _ in range(2))
    one.observe(0.4)
    other.restore(one.state())
    for control in (one, other):
        control.observe(0.8)
    assert (one.applied, one.state()) == (other.applied, other.state())


def test_the_loss_is_less_by_the_coefficient_times_the_mean_entropy_of_trained_tokens() -> None:
    found = [
        learn(toy_learner(toy_algorithm("dapo", entropy={"coefficient": c}), toy_model()), toy_batch())
        for c in (0.0, 0.1, 0.3)
    ]
    plain, some, more = (metrics for metrics, _ in found)
    bonus = 0.1 * plain["rollout/entropy"]
    assert some["loss/entropy_bonus"] == pytest.approx(bonus, rel=1e-9)
    assert some["loss/total"] == pytest.approx(plain["loss/total"] - bonus, rel=1e-9)
    assert more["loss/total"] == pytest.approx(plain["loss/total"] - 3 * bonus, rel=1e-9)
    assert "loss/entropy_bonus" not in plain
    gradients = [g for _, g in found]
    for name, value in gradients[0].items():  # linear in the coefficient, and not the same
        torch.testing.assert_close(gradients[2][name] - value, 3 * (gradients[1][name] - value))
    assert any(not torch.equal(gradients[1][name], value) for name, value in gradients[0].items())
