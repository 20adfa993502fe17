"""How often the 95 % intervals hold what they are for: a slice of what `make test-oracles` simulates."""

from __future__ import annotations

import numpy as np
import pytest
from oracles.coverage import Setting, simulate
from oracles.family import Studies, run_studies
from oracles.populations import SHAPES
from oracles.tables import markdown, share_held

NEW_PROBLEMS = ("base pass@1", "base pass@K", "policy pass@1", "gap", "change of pass@1", "closed share")


def held(setting: Setting, replications: int, fits: int = 0) -> dict[str, float]:
    found = simulate(setting, replications, seed=1, fits=fits, many=200_000)
    return {name: float(np.mean(inside)) for name, inside in found.held.items()}


def test_a_slice_of_the_coverage() -> None:
    """250 measurements hold 95 % within 3 points, two standard errors; a bootstrap would hold 91."""
    found = held(Setting("Beta(0.23, 2.06)", 30, 64), 250)
    for name in NEW_PROBLEMS:
        assert 0.915 <= found[name] <= 0.996, name
    for name in ("next gain", "pass@2K", "solvable by K more", "crossover k*"):
        assert found[name] >= 0.9, name


def test_a_slice_of_the_studies_of_equal_algorithms() -> None:
    """Holm's correction keeps a family to 5 %, where single intervals call some pair apart in many."""
    called = run_studies(Studies(3, 60, 0.4), 12)
    assert called.corrected <= 0.1 and called.alone >= 0.2


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_intervals_for_these_problems(shape: str) -> None:
    found = held(Setting(shape, 100, 64), 300, fits=300)
    for name in ("base pass@K, these problems", "policy pass@1, these problems", "gap, these problems"):
        assert 0.9 <= found[name] <= 0.995, name


def test_shares_outside_of_93_to_97_stand_in_bold() -> None:
    shares = [share_held(np.array([True] * hits + [False] * (100 - hits))) for hits in (92, 93, 97, 98)]
    assert shares == ["**92.0**", "93.0", "97.0", "**98.0**"]
    assert markdown(["a", "b"], [[1, 2]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
