"""Every algorithm against loops over tokens from the papers' equations: a slice of `make test-oracles`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from oracles.compare import TOLERANCE, difference

from rlvr.algorithms import ALGORITHMS
from rlvr.algorithms import losses as of_algorithms
from rlvr.algorithms.formulas import advantages, normalisation, policy_loss
from rlvr.learning import learner, objective

SEEDS = range(6)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_loss_and_gradients_are_those_of_the_equations(name: str) -> None:
    """Seed 0 has the algorithm's defaults, the others random settings."""
    for seed in SEEDS:
        assert difference(name, seed) < TOLERANCE, f"seed {seed}"


def off(value: Any) -> Any:
    """By one part in a hundred thousand."""
    return tuple(off(one) for one in value) if isinstance(value, tuple) else value * (1 + 1e-5)


@pytest.mark.parametrize(
    ("name", "place", "function"),
    [
        ("grpo", advantages, "group_normalised"),
        ("grpo", advantages, "group_centred"),
        ("grpo", normalisation, "sequence_mean"),
        ("grpo", normalisation, "fixed_length"),
        ("dapo", normalisation, "group_token_mean"),
        ("dapo", of_algorithms, "ratio"),
        ("dapo", policy_loss, "ppo_clip"),
        ("passk", advantages, "pass_at_k_advantage"),
        ("grpo", advantages, "unlikely_rewards"),
        ("gspo", of_algorithms, "sequence_mean_ratio"),
        ("cispo", policy_loss, "cispo"),
        ("w_reinforce", advantages, "signed"),
        ("rloo", advantages, "leave_one_out"),
        ("rloo", advantages, "leave_one_out_by_step"),
        ("rloo", normalisation, "sequence_sum"),
        ("rloo", objective, "correction_factor"),
        ("remax", policy_loss, "reinforce"),
        ("remax", objective, "kl_estimate"),
        ("remax", learner, "kl_estimate"),
        ("reinforce_pp", advantages, "return_to_go"),
        ("reinforce_pp", advantages, "whitened"),
        ("ppo", advantages, "gae"),
        ("ppo", normalisation, "token_mean"),
        ("ppo", objective, "value_loss"),
    ],
)
def test_a_formula_that_is_off_by_a_hundred_thousandth_is_seen(
    name: str, place: Any, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right: Callable[..., Any] = getattr(place, function)
    monkeypatch.setattr(place, function, lambda *args, **more: off(right(*args, **more)))
    assert any(difference(name, seed) > TOLERANCE for seed in range(40))
