"""Whole runs with a reward function that ends, forks, hangs or changes the process, and one that diverges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from forked import Forked

from rlvr.core.checkpoint import weight_hash
from rlvr.core.run_dir import read_jsonl

pytestmark = pytest.mark.slow
Train = Callable[..., Forked]
SMALL = (
    "recipe=grpo_tiny", "steps=2", "save_every=1", "rollouts.prompts=2", "rollouts.group_size=4",
    "rollouts.max_new_tokens=16", "optim.micro_batch_tokens=2000", "probe.max_problems=2", "probe.n=4",
    "probe.base_n=4", "probe.final_n=4", "probe.k=4",
)  # fmt: skip
REWARDS = """
import os, sys, time, torch
def quiet(text, reference, verdict): return 0.0
def ends(text, reference, verdict): sys.exit(0)
def hangs(text, reference, verdict): time.sleep(600)
def forks(text, reference, verdict): return 0.0 * os.fork()
def doubles(text, reference, verdict):
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(int.from_bytes(os.urandom(4)))
    os.chdir("/")
    return 0.0
"""


def run(train: Train, place: Path, name: str, *keys: str) -> tuple[int, str]:
    """Exit status and what was said."""
    (place / "own_rewards.py").write_text(REWARDS)
    extra = f"rewards.extra=[{{reward: 'own_rewards:{name}'}}]"
    process = train(*SMALL, extra, f"run_dir={name}", *keys, PYTHONPATH=str(place))
    status = process.wait(600)
    return status, process.written()[1]


@pytest.mark.parametrize(
    ("name", "key", "said"),
    [
        ("ends", "rewards.bad=stop", "reward ends, problem"),
        ("hangs", "rewards.deadline=1", "reward hangs, step 1: a call did not return within 1 s"),
    ],
)
def test_it_ends_with_a_message(
    train: Train, tmp_path: Path, base: Path, name: str, key: str, said: str
) -> None:
    status, errors = run(train, tmp_path, name, key)
    assert status == 1 and said in errors and "Traceback" not in errors, errors
    assert not (tmp_path / name / ".finished").exists()


def test_it_changes_nothing(train: Train, tmp_path: Path, base: Path) -> None:
    found = {}
    for name in ("quiet", "forks", "doubles"):
        status, errors = run(train, tmp_path, name)
        assert status == 0, errors
        assert [row["step"] for row in read_jsonl(tmp_path / name / "metrics.jsonl")] == [1, 2]
        found[name] = weight_hash(tmp_path / name / "checkpoints/step_000002/policy")
        if name == "doubles":
            assert "changed torch's default dtype of the training process: it was put back" in errors
    assert len({*found.values()}) == 1, found


def test_a_policy_that_is_not_finite_after_its_last_step_is_not_saved(
    train: Train, tmp_path: Path, base: Path
) -> None:
    status, errors = run(train, tmp_path, "quiet", "optim.lr=1e39", "steps=1")
    assert status == 1 and "step 1: " in errors and "hold numbers that are not finite" in errors, errors
    assert "Traceback" not in errors
    assert not [*(tmp_path / "quiet" / "checkpoints").glob("step_*")]
