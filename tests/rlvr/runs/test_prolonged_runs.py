"""Whole runs whose reference is reset and whose coefficients are led: killed and resumed to the bit."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from forked import Forked
from whole_runs import contents, finish, kill_and_resume, steps

ARGUMENTS = (
    "recipe=prorl_tiny",
    "algorithm.kl.reset_every=3",
    "algorithm.kl.target=0.001",
    "algorithm.entropy.target=5.0",
    "algorithm.entropy.rate=0.001",
    "steps=8",
    "save_every=1",
    "keep_last=9",
    "rollouts.prompts=4",
    "rollouts.max_new_tokens=32",
    "optim.micro_batch_tokens=2000",
    "probe.tasks=[]",
)


@pytest.mark.slow
def test_killed_at_a_random_step_it_resumes_to_the_bit(
    train: Callable[..., Forked], tmp_path: Path, base: Path
) -> None:
    finish(train(*ARGUMENTS, "run_dir=whole"))
    kill_and_resume(train, tmp_path / "killed", ARGUMENTS, random.randint(1, 7))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    rows = steps(whole)
    assert steps(killed) == rows
    for step in range(1, 9):
        place = f"checkpoints/step_{step:06d}"
        assert contents(killed / place) == contents(whole / place)
        assert (whole / place / "trainer/reference.safetensors").exists() == (step >= 3)
    assert [row["loss/reference_reset"] for row in rows] == [0, 0, 1, 0, 0, 1, 0, 0]
    kl = [row["loss/kl"] for row in rows]
    assert kl[0] == kl[3] == kl[6] == 0 < min(kl[1], kl[2], kl[4], kl[5], kl[7])
    assert len({row["loss/kl_coefficient"] for row in rows}) > 4
    # Below its target from the first step on, so that the coefficient of the next is higher each time.
    bonus = [row.get("loss/entropy_bonus", 0.0) / row["rollout/entropy"] for row in rows]
    assert bonus == pytest.approx([0.001 * step for step in range(8)], rel=1e-6, abs=1e-12)
