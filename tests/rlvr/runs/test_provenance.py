"""card.json says how every task was posed, graded and confined, and what a run was made with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlvr.config.schema import EngineConfig
from rlvr.core.errors import UserError
from rlvr.core.run_dir import write_record
from rlvr.engines.sampler import open_model
from rlvr.planning.recipe import load_config
from rlvr.runs.provenance import check_same_data, run_card
from rlvr.sandbox import choose
from rlvr.tasks import build_task


def test_tasks_on_the_card(untrained: Path, tmp_path: Path) -> None:
    row = {"id": "1", "problem": "1+1", "answer": "2"}
    (tmp_path / "amc23.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({"id": "2"}) + "\n")
    math = build_task("amc23", source=str(tmp_path), bad_rows="skip")
    countdown = build_task("countdown:3", test_problems=5)
    model = open_model(untrained, EngineConfig(), "cpu")
    tasks = {"training": [countdown], "probe": [math, build_task("countdown:3", test_problems=9)]}
    card = run_card(load_config(["recipe=grpo_tiny"]), {"model": model, "base": model}, tasks)
    assert card["tasks"]["probe"]["amc23"] == {
        "data": math.data_hash(),
        "template": "r1_zero",
        "stop": ["</answer>", " User:", "\nUser:"],
        "grader": math.grader,
        "soundness": None,
        "confinement": choose(allow_unsafe=True).name,
        "environment": None,
        "skipped": 1,
    }
    trained, probed = (card["tasks"][user]["countdown:3"] for user in ("training", "probe"))
    assert trained["soundness"] == "steps-1" and card["contamination"] == {"amc23": 0, "countdown:3": 0}
    assert trained["confinement"] is None and trained["data"] != probed["data"]
    assert json.loads(json.dumps(card)) == card


@pytest.mark.parametrize(("part", "name"), [("weights", "base"), ("weights", "model"), ("settings", "base")])
def test_other_weights_than_before_are_refused(tmp_path: Path, part: str, name: str) -> None:
    card = {"weights": {"model": "m", "base": "b"}, "settings": {"model": "m", "base": "b"}}
    write_record(tmp_path / "card.json", card)
    check_same_data(tmp_path / "card.json", card)
    with pytest.raises(
        UserError, match=f"begun with {name}= of {part} {name[0]}, now other: its files have changed"
    ):
        check_same_data(tmp_path / "card.json", card | {part: card[part] | {name: "other"}})
    write_record(tmp_path / "card.json", {"weights": {"base": "b"}})  # as older versions wrote it
    check_same_data(tmp_path / "card.json", {"weights": {"base": "b"}, "settings": {"base": "x"}})


@pytest.mark.parametrize("card", [{"weights": 3}, {"tasks": []}, {"tasks": {"training": {"a": 1}}}])
def test_a_card_of_another_shape_is_named(tmp_path: Path, card: dict[str, object]) -> None:
    write_record(tmp_path / "card.json", card)
    with pytest.raises(UserError, match=r"card\.json is not whole"):
        check_same_data(tmp_path / "card.json", {})
