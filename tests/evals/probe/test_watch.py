"""Which policy is the best, and when training should end."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from evals.probe.watch import decide
from evals.records.gap_record import GapRecord
from evals.sampling.settings import WatchConfig
from rlvr.core.checkpoint import keep_policy


def record(step: int, gap: float | None, coverage_lost: float) -> GapRecord:
    values: dict[str, Any] = dict.fromkeys(f.name for f in fields(GapRecord))
    values |= {"step": step, "task": "toy", "gap": gap, "coverage_lost": coverage_lost, "coverage_k": 64}
    return GapRecord(**values | {"policy_hash": f"p{step}", "base_hash": "p0"})


RUN = [record(0, 0.8, 0.0), record(10, 0.6, 0.05), record(20, 0.5, 0.2), record(30, 0.55, 0.1)]


def test_the_best_has_the_smallest_gap() -> None:
    assert decide(RUN, WatchConfig()).best == RUN[2]
    assert decide(RUN[:1], WatchConfig()).best == RUN[0]


def test_by_coverage_the_base_itself_does_not_compete() -> None:
    assert decide(RUN, WatchConfig(by="coverage_lost")).best == RUN[1]
    assert decide(RUN[:1], WatchConfig(by="coverage_lost")).best is None


def test_a_policy_beyond_the_bound_of_coverage_is_never_the_best_and_ends_training() -> None:
    watch = WatchConfig(max_coverage_lost=0.15)
    assert decide(RUN[:2], watch).stop is None
    decision = decide(RUN[:3], watch)
    assert decision.best == RUN[1]
    assert decision.stop == "20.0 points of pass@64 are lost on toy, more than 15.0"


def test_patience_counts_probes_since_the_best() -> None:
    watch = WatchConfig(patience=2)
    worse = [*RUN, record(40, 0.5, 0.0)]
    assert decide(RUN, watch).stop is None
    assert decide(worse, watch).stop == "no better gap on toy in 2 probes since step 20"


def test_where_there_is_no_gap_there_is_no_best() -> None:
    assert decide([record(0, None, 0.0)], WatchConfig(patience=1)) == decide([], WatchConfig())


def test_a_kept_policy_outlives_its_checkpoint_and_is_replaced_whole(tmp_path: Path) -> None:
    for step in (1, 2):
        policy = tmp_path / f"step{step}"
        policy.mkdir()
        (policy / "model.safetensors").write_text(str(step))
        (policy / f"only_{step}.json").write_text("{}")
        keep_policy(policy, tmp_path / "best", {"step": step})
        (policy / "model.safetensors").unlink()
    kept = sorted(p.name for p in (tmp_path / "best/policy").iterdir())
    assert kept == ["model.safetensors", "only_2.json"]
    assert (tmp_path / "best/policy/model.safetensors").read_text() == "2"


def test_what_is_no_number_is_never_the_best_and_no_less_than_allowed() -> None:
    nan = float("nan")
    assert decide([record(0, 0.5, 0.0), record(10, nan, 0.0)], WatchConfig()).best == record(0, 0.5, 0.0)
    lost = decide([record(0, 0.5, 0.0), record(10, 0.4, nan)], WatchConfig(max_coverage_lost=0.1))
    assert lost.stop is not None and lost.best == record(0, 0.5, 0.0)


@pytest.mark.parametrize("value", [0.0, 1.5])
def test_a_bound_of_coverage_is_a_fraction(value: float) -> None:
    with pytest.raises(ValueError, match="max_coverage_lost"):
        WatchConfig(max_coverage_lost=value)
