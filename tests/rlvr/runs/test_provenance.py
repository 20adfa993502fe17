"""card.json says how every task was posed, graded and confined."""

from __future__ import annotations

import json
from pathlib import Path

from rlvr.config.schema import EngineConfig
from rlvr.engines.sampler import open_model
from rlvr.planning.recipe import load_config
from rlvr.runs.provenance import run_card
from rlvr.sandbox import choose
from rlvr.tasks import build_task


def test_tasks_on_the_card(untrained: Path, tmp_path: Path) -> None:
    row = {"id": "1", "problem": "1+1", "answer": "2"}
    (tmp_path / "amc23.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({"id": "2"}) + "\n")
    math = build_task("amc23", source=str(tmp_path), bad_rows="skip")
    countdown = build_task("countdown:3", test_problems=5)
    model = open_model(untrained, EngineConfig(), "cpu")
    tasks = {"training": [countdown], "probe": [math, build_task("countdown:3", test_problems=9)]}
    card = run_card(load_config(["recipe=grpo_tiny"]), model, model, tasks)
    assert card["tasks"]["probe"]["amc23"] == {
        "data": math.data_hash(),
        "template": "r1_zero",
        "stop": ["</answer>", " User:", "\nUser:"],
        "grader": math.grader,
        "soundness": None,
        "confinement": choose(allow_unsafe=True).name,
        "skipped": 1,
    }
    trained, probed = (card["tasks"][user]["countdown:3"] for user in ("training", "probe"))
    assert trained["soundness"] == "steps-1" and card["contamination"] == {"amc23": 0, "countdown:3": 0}
    assert trained["confinement"] is None and trained["data"] != probed["data"]
    assert json.loads(json.dumps(card)) == card
