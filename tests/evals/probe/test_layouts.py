"""Where trainers put checkpoints, and when one is written to its end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from evals.probe.layouts import checkpoints, is_whole


def weights(path: Path, name: str = "model.safetensors") -> Path:
    path.mkdir(parents=True, exist_ok=True)
    save_file({"a": torch.zeros(64), "b": torch.ones(3, 3)}, path / name)
    return path / name


def model(path: Path) -> Path:
    weights(path)
    (path / "config.json").write_text("{}")
    return path


@pytest.mark.parametrize(
    ("folder", "step", "trainer"),
    [
        ("global_step_20/actor/huggingface", 20, "verl"),
        ("ckpts/run/global_step_20/actor/huggingface", 20, "verl"),
        ("global_step8_hf", 8, "OpenRLHF"),
        ("weights/step_5", 5, "prime-rl"),
        ("checkpoint-150", 150, "TRL"),
        ("out/checkpoint-150", 150, "TRL"),
        ("checkpoints/step_000050/policy", 50, "ours"),
    ],
)
def test_the_places_of_trainers(folder: str, step: int, trainer: str, tmp_path: Path) -> None:
    path = model(tmp_path / folder)
    (found,) = checkpoints(tmp_path)
    assert (found.step, found.trainer, found.path, found.lacks) == (step, trainer, path, "")


def test_in_order_of_steps_and_without_what_is_no_checkpoint(tmp_path: Path) -> None:
    for name in ("checkpoint-100", "checkpoint-20", "checkpoint-3", "runs", "checkpoint-x", ".checkpoint-7"):
        model(tmp_path / name)
    model(tmp_path / "checkpoint-100" / "global_step100")  # DeepSpeed's states, within
    model(tmp_path / "probe-out" / "jobs" / "step_000003-0a" / "policy")
    model(tmp_path / "elsewhere" / "checkpoint-5")
    found = checkpoints(tmp_path, tmp_path / "elsewhere")
    assert [one.step for one in found] == [3, 20, 100]
    assert checkpoints(tmp_path / "nowhere") == []


def test_of_one_step_the_one_with_weights(tmp_path: Path) -> None:
    """prime-rl keeps the optimizer's states under the same name."""
    (tmp_path / "checkpoints" / "step_5").mkdir(parents=True)
    (tmp_path / "checkpoints" / "step_5" / "config.json").write_text("{}")
    whole = model(tmp_path / "weights" / "step_5")
    assert [(one.path, one.lacks) for one in checkpoints(tmp_path)] == [(whole, "")]


def test_what_a_checkpoint_lacks_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint-1"
    path.mkdir()
    assert checkpoints(tmp_path) == []

    def lacks() -> str:
        (found,) = checkpoints(tmp_path)
        return found.lacks

    (path / "config.json").write_text("{}")
    assert lacks() == "model.safetensors"
    file = weights(path)
    content = file.read_bytes()
    for length in (0, 4, 8, 40, len(content) - 1):
        file.write_bytes(content[:length])
        assert not is_whole(file) and lacks() == "model.safetensors to its end"
    file.write_bytes(content)
    assert lacks() == ""
    index = path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "model-1')
    assert lacks() == index.name
    index.write_text(json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}))
    weights(path, "model-1.safetensors")
    assert lacks() == "model-2.safetensors"
    weights(path, "model-2.safetensors")
    assert lacks() == ""


def test_adapters(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint-1"
    weights(path, "adapter_model.safetensors")
    assert [one.lacks for one in checkpoints(tmp_path)] == ["adapter_config.json"]
    (path / "adapter_config.json").write_text("{}")
    assert [one.lacks for one in checkpoints(tmp_path)] == [""]
    (path / "adapter_model.safetensors").write_bytes(b"\x00" * 9)
    assert [one.lacks for one in checkpoints(tmp_path)] == ["adapter_model.safetensors to its end"]
