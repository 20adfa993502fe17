"""Where algorithms credit what is given for single steps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from toys import toy_algorithm, toy_batch, unscored


@pytest.mark.parametrize("name", ["rloo", "reinforce_pp"])
def test_where_a_reward_is_credited(name: str) -> None:
    """By steps what follows a token alone; as one action all of it. Without token rewards there is no
    difference, to the bit."""
    batch = unscored(toy_batch())
    whole, by_step = (
        toy_algorithm(name, credit=credit).credit(batch).advantages for credit in ("outcome", "steps")
    )
    assert not torch.equal(whole, by_step)
    if name == "reinforce_pp":
        later = batch.token_rewards.flip(1).cumsum(1).flip(1)
        rest = batch.rewards - batch.token_rewards.sum(1)
        torch.testing.assert_close(by_step, (rest[:, None] + later) * batch.mask)
        torch.testing.assert_close(whole[:, 0], by_step[:, 0])
    plain = replace(batch, token_rewards=torch.zeros_like(batch.mask))
    for credit in ("outcome", "steps"):
        assert torch.equal(toy_algorithm(name, credit=credit).credit(plain).advantages, whole)


def test_reinforce_pp_with_a_baseline_has_no_steps() -> None:
    with pytest.raises(ValueError, match="baseline=true takes a completion as one action"):
        toy_algorithm("reinforce_pp", credit="steps", baseline=True)
