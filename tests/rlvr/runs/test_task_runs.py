"""Whole runs on real tasks, from an untrained base: that all is connected, and no more."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from forked import Forked

from rlvr.core.run_dir import read_jsonl
from rlvr.sandbox import choose

pytestmark = pytest.mark.slow

Train = Callable[..., Forked]

SMALL = (
    "recipe=grpo_tiny", "model=embedded:countdown-untrained", "steps=2", "rollouts.prompts=4",
    "rollouts.group_size=4", "rollouts.max_new_tokens=16", "probe.tasks=[]", "run_dir=run",
)  # fmt: skip
CHAIN_SUM = (
    "task=reasoning_gym:chain_sum", "task.template=plain", "task.test_problems=20",
    "task.parameters.max_terms=2",
)  # fmt: skip
MY_REWARDS = """
def length(completion, reference, verdict):
    return len(completion) / 100

def broken(completion, reference, verdict):
    return float("nan")
"""


@pytest.fixture
def steps(train: Train, tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """Trains for two steps and returns their metrics."""
    (tmp_path / "my_rewards.py").write_text(MY_REWARDS)

    def run(*arguments: str) -> list[dict[str, Any]]:
        _, errors = train(*SMALL, *arguments, PYTHONPATH=python_path(tmp_path)).communicate(timeout=300)
        rows = read_jsonl(tmp_path / "run" / "metrics.jsonl")
        assert len(rows) == 2, errors
        return rows

    return run


def python_path(folder: Path) -> str:
    """This process's, where PYTHONPATH is given, and a folder with reward functions."""
    return os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(folder))))


def card(tmp_path: Path) -> dict[str, Any]:
    return json.loads((tmp_path / "run" / "card.json").read_text())["tasks"]["training"]


def test_reasoning_gym(steps: Callable[..., list[dict[str, Any]]], tmp_path: Path) -> None:
    if find_spec("reasoning_gym") is None:
        pytest.skip("needs reasoning-gym (make install-test)")
    rows = steps(*CHAIN_SUM, "rewards.format=0.1")
    for row in rows:
        assert row["reward/format"] == pytest.approx(0.1 * (1 - row["rollout/unparsed"]))
        assert row["reward/outcome"] == row["rollout/correct"]
    assert card(tmp_path)["reasoning_gym:chain_sum"]["confinement"] == choose(allow_unsafe=True).name


def test_gsm8k(steps: Callable[..., list[dict[str, Any]]], tmp_path: Path, data: Path) -> None:
    for name in ("gsm8k_train", "gsm8k"):
        with open(data / "math" / f"{name}.jsonl") as lines:
            few = list(islice((line for line in lines if len(line) < 600), 20))
        (tmp_path / f"{name}.jsonl").write_text("".join(few) + "{}\n")
    rows = steps("task=gsm8k", "task.source=.", "task.template=plain", "task.bad_rows=skip")
    assert all(row["rollout/reward"] == row["rollout/correct"] for row in rows)
    assert card(tmp_path)["gsm8k"]["skipped"] == 2


EXTRA = "rewards.extra=[{reward: 'my_rewards:length'}, {reward: 'my_rewards:broken', weight: 0.5}]"


def test_a_reward_function_that_gives_no_number_stops_the_run(
    steps: Callable[..., list[dict[str, Any]]], train: Train, tmp_path: Path
) -> None:
    process = train(*SMALL, EXTRA, PYTHONPATH=python_path(tmp_path))
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1 and "Traceback" not in errors
    assert "reward broken, problem" in errors and "rewards-rank0.jsonl" in errors
    evidence = read_jsonl(tmp_path / "run" / "evidence" / "rewards-rank0.jsonl")
    assert [row["returned"] for row in evidence] == ["nan"]


def test_a_reward_function_that_gives_no_number_counts_as_wrong(
    steps: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    for row in steps(EXTRA, "rewards.bad=wrong"):
        assert (row["reward/bad"], row["reward/broken"], row["reward/outcome"]) == (1.0, 0.0, 0.0)
        assert row["rollout/reward"] == pytest.approx(row["reward/length"])
    assert len(read_jsonl(tmp_path / "run" / "evidence" / "rewards-rank0.jsonl")) == 2 * 4 * 4
