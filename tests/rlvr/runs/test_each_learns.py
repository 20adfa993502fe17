"""Every algorithm raises the share of right answers on the embedded base; PPO's critic explains returns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from forked import Forked

from rlvr.algorithms import ALGORITHMS


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_learns_in_forty_steps(
    algorithm: str, train: Callable[..., Forked], tmp_path: Path, base: Path
) -> None:
    arguments = [
        f"recipe={algorithm.removesuffix('_verl')}_tiny",
        f"algorithm={algorithm}",
        "seed=1",
        "steps=40",
        "save_every=40",
        "probe.tasks=[]",
        "run_dir=run",
    ]
    _, errors = (process := train(*arguments)).communicate(timeout=1200)
    assert process.returncode == 0, errors
    metrics = pd.read_json(tmp_path / "run/metrics.jsonl", lines=True)
    correct = metrics["rollout/correct"]
    assert correct[-10:].mean() > 1.1 * correct[:10].mean()
    if algorithm == "ppo":
        assert metrics["critic/explained_variance"][-10:].mean() > 0
