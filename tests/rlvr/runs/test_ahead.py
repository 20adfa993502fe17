"""Whole runs whose rollouts are drawn ahead: a function of their seed, killed and resumed or not."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from forked import Forked, ranks
from whole_runs import TRAINER, contents, finish, kill_and_resume, steps

Train = Callable[..., Forked]

SMALL = (
    "rollouts.correction.by=truncate",
    "steps=6",
    "save_every=2",
    "keep_last=9",
    "rollouts.prompts=4",
    "rollouts.max_new_tokens=32",
    "optim.mini_batches=2",
    "optim.micro_batch_tokens=2000",
    "optim.lr=3e-4",
    "probe.tasks=[]",
)
CASES = {
    "grpo, 1 ahead": ("recipe=grpo_tiny", "rollouts.ahead=1"),
    "dapo, 2 ahead": ("recipe=dapo_tiny", "rollouts.ahead=2", "algorithm.at_bound=train"),
}


@pytest.mark.parametrize(
    "case", [*list(CASES)[:1], *(pytest.param(c, marks=pytest.mark.slow) for c in list(CASES)[1:])]
)
def test_killed_at_a_random_step_it_resumes_to_the_bit(
    case: str, train: Train, tmp_path: Path, base: Path
) -> None:
    arguments = [*CASES[case], *SMALL]
    finish(train(*arguments, "run_dir=whole"))
    kill_and_resume(train, tmp_path / "killed", arguments, random.randint(2, 5))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert steps(killed) == steps(whole)
    for step in (2, 4, 6):
        place = f"checkpoints/step_{step:06d}"
        assert contents(killed / place) == contents(whole / place)
        assert (whole / place / "trainer/ahead-rank0.json").exists() == (step < 6)
    ahead = int(case.split()[1])
    assert [row["rollout/staleness"] for row in steps(whole)] == [min(s, ahead) for s in range(6)]
    assert steps(whole)[0]["mismatch/mean"] < 1e-5 < 1e-4 < steps(whole)[-1]["mismatch/mean"]


@pytest.mark.distributed
def test_two_processes_draw_ahead_as_one_does(train: Train, tmp_path: Path, base: Path) -> None:
    arguments = [*CASES["grpo, 1 ahead"], *SMALL, "steps=3", "save_every=1", "optim.mini_batches=1"]
    finish(train(*arguments, "run_dir=one"))
    done = ranks(2, [str(TRAINER), *arguments, "run_dir=two"], tmp_path)
    assert [process.returncode for process in done] == [0, 0], "".join(p.stderr for p in done)
    one, two = (pd.DataFrame(steps(tmp_path / run)) for run in ("one", "two"))
    # The first two steps are drawn by the model as it was; what an update gives differs in its last digits.
    same = ["rollout/reward", "rollout/correct", "rollout/length", "rollout/staleness", "total/tokens"]
    pd.testing.assert_frame_equal(one[same][:2], two[same][:2])
    pd.testing.assert_frame_equal(one[["mismatch/mean"]], two[["mismatch/mean"]], rtol=0.05, atol=1e-5)
    shutil.rmtree(tmp_path / "two/checkpoints/step_000003")  # the one before has rollouts of two processes
    refused = finish(train(*arguments, "steps=4", "run_dir=two"), status=1)
    assert "the checkpoint's rollouts are of 2 processes, this run has 1: go on with 2" in refused
