"""Two gloo processes give the gradient of one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from toys import assert_equal_gradients

from rlvr.algorithms import ALGORITHMS

SCRIPT = Path(__file__).with_name("two_ranks.py")


@pytest.mark.distributed
def test_two_ranks_give_the_gradient_and_the_metrics_of_one(tmp_path: Path) -> None:
    results = []
    for ranks in (1, 2):
        target = tmp_path / f"{ranks}.pt"
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
        done = subprocess.run(
            [sys.executable, *launcher, str(SCRIPT), str(target)],
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        results.append(torch.load(target))
    one, two = results
    for name in ALGORITHMS:
        assert_equal_gradients(one[name][1], two[name][1], 1e-10)
        for metric, value in one[name][0].items():
            assert two[name][0][metric] == pytest.approx(value, rel=1e-9, abs=1e-12), f"{name} {metric}"
