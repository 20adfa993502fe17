"""Whole runs on episodes, with an environment of the user's own: kills, two ranks, failures."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from forked import Forked, ranks
from pages import ROOT, python_files
from whole_runs import TRAINER, contents, finish, steps, wait_for_steps

from rlvr.core.run_dir import read_jsonl

pytestmark = pytest.mark.slow

Train = Callable[..., Forked]

# Random weights write a digit now and then, which the environment rewards.
SMALL = (
    "recipe=grpo_tiny", "model=embedded:countdown-untrained", "task=my_environment:digits", "steps=4",
    "save_every=2", "rollouts.prompts=4", "rollouts.group_size=6", "rollouts.max_new_tokens=60",
    "rewards.turns=1", "rewards.turn_discount=0.9", "algorithm=rloo", "algorithm.credit=steps",
    "algorithm.kl.coefficient=0",
    "probe.tasks=[my_environment:digits]", "probe.max_problems=3", "probe.n=4", "probe.base_n=4",
    "probe.final_n=4", "probe.k=4",
)  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the environment of the docs, which Python finds."""
    source = python_files(ROOT / "docs" / "plugins.md")["my_environment.py"]
    (tmp_path / "my_environment.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    return tmp_path


def test_killed_it_resumes_to_the_bit_and_the_trainer_agrees(train: Train, here: Path) -> None:
    finish(train(*SMALL, "run_dir=whole", RLVR_STORE=str(here / "store-whole")))
    killed = train(*SMALL, "run_dir=run")
    wait_for_steps(here / "run", 3, killed)
    killed.kill()
    killed.communicate()
    finish(train(*SMALL, "run_dir=run"))
    whole, run = here / "whole", here / "run"
    assert steps(run) == steps(whole)
    assert contents(run / "checkpoints/step_000004") == contents(whole / "checkpoints/step_000004")
    samples = "probes/step_000004/digits.samples.parquet"
    pd.testing.assert_frame_equal(pd.read_parquet(run / samples), pd.read_parquet(whole / samples))
    for row in steps(run):
        assert row["rollout/turns"] > 2 and row["mismatch/mean"] < 1e-6 and row["mismatch/max"] < 1e-5
    assert any(row["reward/turns"] > 0 and row["loss/grad_norm"] > 0 for row in steps(run))


@pytest.mark.distributed
def test_two_ranks_play_as_one_does(train: Train, here: Path) -> None:
    arguments = [*SMALL, "steps=2", "save_every=1"]
    finish(train(*arguments, "run_dir=one", RLVR_STORE=str(here / "store-one")))
    done = ranks(2, [str(TRAINER), *arguments, "run_dir=two"], here)
    assert [process.returncode for process in done] == [0, 0], "".join(process.stderr for process in done)
    one, two = (pd.DataFrame(steps(here / run)) for run in ("one", "two"))
    same = ["step", "rollout/reward", "rollout/turns", "rollout/length", "total/samples", "total/tokens"]
    pd.testing.assert_frame_equal(one[same], two[same])
    learned = [name for name in one if name.startswith("loss/")]
    pd.testing.assert_frame_equal(one[learned], two[learned], rtol=1e-3, atol=1e-6)
    first, second = (read_jsonl(here / run / "probe.jsonl") for run in ("one", "two"))
    assert first[0]["turns"] == second[0]["turns"] and first[0]["samples_drawn"] == second[0]["samples_drawn"]


def test_an_environment_that_fails_now_and_then(train: Train, here: Path) -> None:
    """The run stops with evidence and the last checkpoint; told to, it goes on, and the probe with it."""
    file = here / "my_environment.py"
    broken = 'added = [int(letter) for letter in text if letter in "0123456789"]\n    assert 7 not in added'
    file.write_text(file.read_text().replace(broken.partition("\n")[0], broken))
    process = train(*SMALL, "probe.tasks=[]", "rollouts.prompts=32", "run_dir=run")
    assert "the environment failed: act raised AssertionError" in finish(process, 1)
    evidence = read_jsonl(here / "run" / "evidence" / "rewards-rank0.jsonl")
    assert "7" in evidence[0]["completion"]
    more = ("rewards.bad=wrong", "probe.bad=wrong", "rollouts.prompts=32")
    finish(train(*SMALL, *more, "steps=2", "probe.n=32", "probe.final_n=32", "run_dir=other"))
    rows = steps(here / "other")
    assert len(rows) == 2 and any(0 < row["rollout/failed"] < 1 for row in rows)
    assert all(row["rollout/failed"] == row["reward/bad"] for row in rows)
