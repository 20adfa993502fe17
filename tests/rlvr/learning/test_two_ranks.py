"""Two gloo processes with packed rows give the gradient of one without, replicated or sharded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from forked import ranks
from torch import Tensor
from toys import assert_equal_gradients

from rlvr.algorithms import ALGORITHMS

SCRIPT = Path(__file__).with_name("two_ranks.py")


# What sharding could part: the policy with its reference and whitening over all ranks, a critic. How every
# algorithm counts over ranks shows without it.
SHARDED = ["reinforce_pp", "ppo"]
UNEQUAL = "reinforce_pp unequal"


def gradients(
    count: int, zero: int, target: Path, names: Sequence[str] = (*ALGORITHMS, UNEQUAL)
) -> dict[str, tuple[dict[str, float], dict[str, Tensor]]]:
    """Of each algorithm: metrics and gradient of one training step by so many processes."""
    for done in ranks(count, [str(SCRIPT), str(target), str(zero), *names]):
        assert done.returncode == 0, done.stderr
    return torch.load(target)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, float], dict[str, Tensor]]]:
    return gradients(1, 0, tmp_path_factory.mktemp("alone") / "gradients.pt")


@pytest.mark.distributed
@pytest.mark.parametrize(
    ("zero", "tolerance", "names"),
    [
        (0, 1e-10, list(ALGORITHMS)),
        (2, 1e-5, SHARDED),
        (3, 1e-5, SHARDED),
        pytest.param(2, 1e-5, list(ALGORITHMS), marks=pytest.mark.slow),
        pytest.param(3, 1e-5, list(ALGORITHMS), marks=pytest.mark.slow),
    ],
    ids=["0", "2", "3", "2-all", "3-all"],
)
def test_two_ranks_give_the_gradient_and_the_metrics_of_one(
    alone: dict[str, tuple[dict[str, float], dict[str, Tensor]]],
    zero: int,
    tolerance: float,
    names: list[str],
    tmp_path: Path,
) -> None:
    """In float64; under DeepSpeed, which has none, in float32; ZeRO-3 with gradient checkpointing."""
    if zero:
        pytest.importorskip("deepspeed", reason="needs DeepSpeed (make install-test)")
    two = gradients(2, zero, tmp_path / "two.pt", [*names, UNEQUAL])
    assert two[UNEQUAL][0].pop("train/idle_passes") == 3
    for name in [*names, UNEQUAL]:
        metrics, gradient = dict(alone[name][0]), alone[name][1]
        passes = metrics.pop("train/idle_passes")
        assert passes == two[name][0].pop("train/idle_passes", passes) == 0
        assert_equal_gradients(gradient, two[name][1], tolerance)
        if zero:  # policy and critic in one
            norms = metrics.pop("loss/grad_norm"), metrics.pop("critic/grad_norm", 0.0)
            metrics["loss/grad_norm"] = math.hypot(*norms)
        for metric, value in metrics.items():
            expected = pytest.approx(value, rel=10 * tolerance, abs=tolerance)
            assert two[name][0][metric] == expected, f"{name} {metric}"


@pytest.mark.distributed
@pytest.mark.slow
@pytest.mark.parametrize("zero", [0, 2, 3])
def test_a_reset_reference_is_the_policy_on_every_rank(zero: int, tmp_path: Path) -> None:
    if zero:
        pytest.importorskip("deepspeed", reason="needs DeepSpeed (make install-test)")
    found = gradients(2, zero, tmp_path / "two.pt", ["grpo reset"])["grpo reset"][0]
    given, reset, changed, read = found["distances"]  # type: ignore[misc]
    assert reset == read < 1e-6 < 0.1 < min(given, changed)
