"""card.json says how every task was posed, graded and confined."""

from __future__ import annotations

import json
from pathlib import Path

from rlvr.planning.recipe import load_config
from rlvr.runs.provenance import run_card
from rlvr.sandbox import choose
from rlvr.tasks import build_task


def test_tasks_on_the_card(untrained: Path, tmp_path: Path) -> None:
    row = {"id": "1", "problem": "1+1", "answer": "2"}
    (tmp_path / "amc23.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({"id": "2"}) + "\n")
    math = build_task("amc23", source=str(tmp_path), bad_rows="skip")
    countdown = build_task("countdown:3", test_problems=5)
    card = run_card(load_config(["recipe=grpo_tiny"]), untrained, untrained, [math, countdown])
    assert card["tasks"]["amc23"] == {
        "data": math.data_hash(),
        "template": "r1_zero",
        "grader": "math-strict-1",
        "confinement": choose(allow_unsafe=True).name,
        "skipped": 1,
    }
    assert card["tasks"]["countdown:3"]["confinement"] is None
    assert json.loads(json.dumps(card)) == card
