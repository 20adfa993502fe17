"""What a run directory allows to differ."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlvr.core.checkpoint import Checkpoint
from rlvr.core.run_dir import RunDir, RunDirError, append_jsonl, read_jsonl, write_json
from rlvr.planning.recipe import load_config
from rlvr.runs.provenance import check_same_data
from rlvr.runs.resume import Start, find_start, prepare


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


def test_records_of_later_steps_are_dropped(begun: RunDir) -> None:
    probe = begun.path / "probe.jsonl"
    for step in (0, 1, 20):
        append_jsonl(probe, {"step": step})
    checkpoint = Checkpoint(1, begun.checkpoints / "step_000001")
    prepare(load_config(["recipe=grpo_tiny"]), begun, Start(checkpoint, (), False))
    assert [row["step"] for row in read_jsonl(probe)] == [0, 1]


def test_what_a_killed_process_left_is_gone_at_the_next_start(begun: RunDir) -> None:
    (begun.path / "probes").mkdir()
    left = [begun.path / ".metrics.jsonl.0a1b2c3d", begun.path / "probes/.countdown-3.parquet.12345678"]
    for path in left:
        path.write_text("torn")
    config = load_config(["recipe=grpo_tiny"])
    prepare(config, begun, find_start(config, begun))
    assert not [path for path in left if path.exists()]


@pytest.mark.parametrize(("recipe", "name"), [("grpo_qwen7b", "grpo"), ("dapo_qwen7b", "dapo")])
def test_a_run_with_a_preset_goes_on_under_the_algorithms_name(
    tmp_path: Path, recipe: str, name: str
) -> None:
    config = load_config([f"recipe={recipe}"], 8)
    run_dir = RunDir(tmp_path)
    former = config.model_dump(mode="json")
    former["algorithm"] |= {"name": name, "preset": "paper_era_verl"}
    write_json(run_dir.config, former)
    append_jsonl(run_dir.metrics, {"step": 1})
    assert not find_start(config, run_dir).finished
    other = load_config([f"recipe={recipe}", f"algorithm={name}"], 8)
    with pytest.raises(RunDirError, match=r"algorithm\.name"):
        find_start(other, run_dir)


@pytest.mark.parametrize(("recipe", "brings"), [("grpo_tiny", False), ("grpo_qwen7b", True)])
def test_a_run_of_before_stop_strings_had_none(tmp_path: Path, recipe: str, brings: bool) -> None:
    config = load_config([f"recipe={recipe}"], 8)
    run_dir = RunDir(tmp_path)
    former = config.model_dump(mode="json")
    del former["rollouts"]["stop"], former["probe"]["stop"]
    write_json(run_dir.config, former)
    append_jsonl(run_dir.metrics, {"step": 1})
    without = load_config([f"recipe={recipe}", "rollouts.stop=[]", "probe.stop=[]"], 8)
    if brings:
        assert not find_start(without, run_dir).finished
        with pytest.raises(RunDirError, match=r"rollouts\.stop: \[\] there, None now"):
            find_start(config, run_dir)
    else:
        assert not find_start(config, run_dir).finished


def test_a_run_whose_data_changed_does_not_go_on(tmp_path: Path) -> None:
    card = {"tasks": {"training": {"sums@1": {"data": "a"}}, "probe": {"sums@1": {"data": "a"}}}}
    check_same_data(tmp_path / "card.json", card)  # there is none yet
    write_json(tmp_path / "card.json", card)
    check_same_data(tmp_path / "card.json", card)
    changed = {"tasks": {"training": {"sums@1": {"data": "b"}}}}
    with pytest.raises(RunDirError, match=r"trained on sums@1 \(a\), and the data is now sums@1 \(b\)"):
        check_same_data(tmp_path / "card.json", changed)


def test_a_run_without_a_preset_goes_on(tmp_path: Path) -> None:
    config = load_config(["recipe=rloo_tiny"])
    run_dir = RunDir(tmp_path)
    former = config.model_dump(mode="json")
    former["algorithm"]["preset"] = None
    write_json(run_dir.config, former)
    append_jsonl(run_dir.metrics, {"step": 1})
    assert not find_start(config, run_dir).finished


def test_keys_that_a_saved_configuration_lacks_have_their_defaults(begun: RunDir) -> None:
    former = json.loads(begun.config.read_text())
    del former["plan"], former["optim"]["schedule"], former["optim"]["decay"]
    write_json(begun.config, former)
    assert not find_start(load_config(["recipe=grpo_tiny"]), begun).finished
    with pytest.raises(RunDirError, match=r"optim\.schedule: 'constant' there, 'linear' now"):
        find_start(load_config(["recipe=grpo_tiny", "optim.schedule=linear"]), begun)


def test_a_run_from_before_a_key_of_the_algorithm_goes_on(tmp_path: Path) -> None:
    config = load_config(["recipe=rloo_tiny"])
    run_dir = RunDir(tmp_path)
    former = config.model_dump(mode="json")
    del former["algorithm"]["credit"], former["algorithm"]["gamma"], former["algorithm"]["clip"]["dual"]
    del former["rewards"]["wrong_step"]
    write_json(run_dir.config, former)
    append_jsonl(run_dir.metrics, {"step": 1})
    assert not find_start(config, run_dir).finished
    paid = ["recipe=rloo_tiny", "algorithm.credit=steps", "rewards.wrong_step=-1"]
    with pytest.raises(RunDirError, match=r"algorithm\.credit: 'outcome' there, 'steps' now"):
        find_start(load_config(paid), run_dir)


def test_steps_stay_where_the_rate_falls_over_them(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    falling = ["recipe=grpo_tiny", "optim.schedule=cosine"]
    config = load_config(falling)
    prepare(config, run_dir, find_start(config, run_dir))
    append_jsonl(run_dir.metrics, {"step": 1})
    assert not find_start(config, run_dir).finished
    with pytest.raises(RunDirError, match="another configuration:\n  steps: 150 there, 900 now"):
        find_start(load_config([*falling, "steps=900"]), run_dir)


def test_a_run_from_before_a_key_of_the_task_goes_on(tmp_path: Path) -> None:
    """The key has its default, in training and in the probe; another value is another run."""
    config = load_config(["recipe=grpo_tiny"])
    run_dir = RunDir(tmp_path)
    former = config.model_dump(mode="json")
    for task in (former["task"], *former["probe"]["tasks"]):
        del task["soundness"]
    del former["rewards"]["unsound"]
    write_json(run_dir.config, former)
    append_jsonl(run_dir.metrics, {"step": 1})
    assert not find_start(config, run_dir).finished
    with pytest.raises(RunDirError, match=r"task\.soundness: 'steps' there, 'none' now"):
        find_start(load_config(["recipe=grpo_tiny", "task.soundness=none"]), run_dir)
    with pytest.raises(RunDirError, match=r"rewards\.unsound: None there, 0\.0 now"):
        find_start(load_config(["recipe=grpo_tiny", "rewards.unsound=0"]), run_dir)
