"""The example that is read first is short, runs, and trains."""

from __future__ import annotations

import math
import re
import runpy
from pathlib import Path

import pytest
import torch

from rlvr.models.loading import load_model, model_directory

FILE = Path(__file__).resolve().parents[2] / "examples" / "minimal.py"
MODEL = "embedded:countdown"


def test_it_fits_on_three_screens() -> None:
    assert len(FILE.read_text().splitlines()) <= 150


def test_it_trains(capsys: pytest.CaptureFixture[str]) -> None:
    policy = runpy.run_path(str(FILE))["main"](["--model", MODEL, "--steps", "2", "--prompts", "8"])
    line = r"step (\d): reward (\d\.\d{3}), loss ([+-]\d\.\d{4})"
    found = [re.fullmatch(line, printed) for printed in capsys.readouterr().out.splitlines()]
    steps, rewards, losses = zip(*(match.groups() for match in found if match), strict=True)
    assert steps == ("1", "2") and len(found) == 2
    assert any(0 < float(reward) < 1 for reward in rewards)
    assert all(math.isfinite(float(loss)) for loss in losses)
    trained, base = policy.policy.state_dict(), load_model(model_directory(MODEL), "float32").state_dict()
    assert any(not torch.equal(trained[name], base[name]) for name in base)
    assert all(tensor.isfinite().all() for tensor in trained.values())
