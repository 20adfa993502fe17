"""What a run directory allows to differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlvr.core.run_dir import RunDir, RunDirError, append_jsonl, read_jsonl, write_json
from rlvr.planning.recipe import load_config
from rlvr.runs.resume import cut_back_probes, find_start, prepare


@pytest.fixture
def begun(tmp_path: Path) -> RunDir:
    """A directory in which a step was trained."""
    run_dir = RunDir(tmp_path)
    config = load_config(["recipe=grpo_tiny"])
    prepare(config, run_dir, find_start(config, run_dir))
    append_jsonl(run_dir.metrics, {"step": 1})
    return run_dir


@pytest.mark.parametrize(
    "key",
    ["steps=900", "engine.url=http://node9:8000", "engine.timeout=300", "rewards.bad=wrong", "keep_last=9"],
)
def test_what_changes_no_step_may_differ(begun: RunDir, key: str) -> None:
    assert not find_start(load_config(["recipe=grpo_tiny", key]), begun).finished


@pytest.mark.parametrize("key", ["seed=9", "rewards.wrong=-1", "engine.dtype=bfloat16", "rollouts.prompts=8"])
def test_what_changes_a_step_may_not(begun: RunDir, key: str) -> None:
    with pytest.raises(RunDirError, match=f"another configuration:\n  {key.partition('=')[0]}: "):
        find_start(load_config(["recipe=grpo_tiny", key]), begun)


def test_where_nothing_was_trained_anything_may_differ(begun: RunDir) -> None:
    begun.metrics.unlink()
    other = load_config(["recipe=grpo_tiny", "rollouts.max_new_tokens=32"])
    assert find_start(other, begun).checkpoint is None


def test_probes_of_later_steps_decide_nothing_any_more(begun: RunDir) -> None:
    for step in (0, 10, 20):
        append_jsonl(begun.probe, {"step": step})
    begun.best.mkdir()
    write_json(begun.best / "about.json", {"step": 20})
    cut_back_probes(begun, 10)
    assert [row["step"] for row in read_jsonl(begun.probe)] == [0, 10]
    assert not begun.best.exists()
