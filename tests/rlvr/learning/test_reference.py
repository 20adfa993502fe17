"""Resets of the reference (ProRL) and the coefficient that a target leads, by hand and through a learner."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from toys import learn, toy_algorithm, toy_batch, toy_learner, toy_model

from rlvr.algorithms.bundle import Kl
from rlvr.learning.learner import Learner
from rlvr.learning.objective import KlControl


def learner(**kl: object) -> Learner:
    algorithm = toy_algorithm("grpo", kl={"coefficient": 0.1, **kl})
    return toy_learner(algorithm, toy_model(), reference=toy_model(1), lr=1e-2)


def test_the_coefficient_is_led_to_the_target() -> None:
    """arXiv 1909.08593, section 2.2: by a tenth of the relative error, which counts up to a fifth."""
    control = KlControl(Kl(coefficient=0.5, target=0.1))
    for kl, factor in ((0.1, 1.0), (0.11, 1.01), (0.3, 1.02), (0.0, 0.98)):
        before = control.coefficient
        control.observe(kl)
        assert control.coefficient == pytest.approx(before * factor, rel=1e-12)
    other = KlControl(Kl(coefficient=0.5, target=0.1))
    other.restore(control.state())
    assert other.coefficient == control.coefficient


def test_when_a_reset_is_due() -> None:
    every, above = KlControl(Kl(coefficient=1, reset_every=3)), KlControl(Kl(coefficient=1, reset_above=0.5))
    assert [every.resets(step, 9.0) for step in range(1, 7)] == [False, False, True] * 2
    assert [above.resets(1, kl) for kl in (0.5, 0.6)] == [False, True]
    assert not KlControl(Kl(coefficient=1)).resets(3, 9.0)


def test_a_reset_makes_the_reference_the_policy_and_the_optimizer_new() -> None:
    plain, reset = learner(), learner(reset_every=2)
    found = {id(one): [learn(one, toy_batch(), step)[0] for step in (1, 2, 3)] for one in (plain, reset)}
    without, having = found[id(plain)], found[id(reset)]
    assert [row["loss/reference_reset"] for row in having] == [0.0, 1.0, 0.0]
    assert "loss/reference_reset" not in without[0]
    assert having[1]["loss/kl"] == without[1]["loss/kl"] > 0
    # Taken before the third update, when the policy is what the reference became.
    assert having[2]["loss/kl"] == pytest.approx(0.0, abs=1e-12) and without[2]["loss/kl"] > 1e-4
    states = reset.policy.parallel.optimizer.optimizer.state.values()  # type: ignore[attr-defined]
    assert {float(state["step"]) for state in states} == {1.0}


def test_a_reset_reference_is_saved_and_read_to_the_bit(tmp_path: Path) -> None:
    one, other = learner(reset_every=1), learner(reset_every=1)
    assert one.policy.reference is not None and other.policy.reference is not None
    one.policy.reference.save(tmp_path)
    assert not list(tmp_path.iterdir())  # it is the base's
    learn(one, toy_batch())
    one.policy.reference.save(tmp_path)
    other.policy.reference.restore(tmp_path)
    own = other.policy.reference.model.state_dict()
    for name, value in one.policy.reference.model.state_dict().items():
        assert torch.equal(value, own[name])
    batch = toy_batch()
    assert torch.equal(one.policy.ref_logprobs(batch), other.policy.ref_logprobs(batch))


@pytest.mark.parametrize("key", ["target", "reset_every", "reset_above"])
def test_what_needs_a_reference_is_refused_without_a_coefficient(key: str) -> None:
    with pytest.raises(ValueError, match=rf"algorithm.kl.{key}: with algorithm.kl.coefficient=0 there is no"):
        toy_algorithm("dapo", kl={key: 1})
