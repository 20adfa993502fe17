"""`python -m evals watch`: checkpoints of another trainer as they appear, beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from evals.commands import compare
from evals.commands import probe as probe_command
from evals.commands.problems import ledger
from evals.commands.two_models import watching
from evals.records.files import read_counts
from rlvr.config.errors import ConfigError
from rlvr.core.run_dir import read_jsonl

SMALL = ("base=embedded:countdown", "task=countdown:3", "n=4", "k=8", "max_problems=3", "max_new_tokens=24",
         "settle=0", "--once")  # fmt: skip


def checkpoint(path: Path, model: Path) -> None:
    """Weights and configuration without a tokenizer, as some trainers leave them."""
    path.mkdir(parents=True)
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        if (model / name).exists():
            shutil.copy(model / name, path / name)


def steps(out: Path) -> list[tuple[int, str]]:
    return [(row["step"], row["task"]) for row in read_jsonl(out / "probe.jsonl")]


def test_checkpoints_are_probed_and_one_that_fails_holds_up_no_other(
    tmp_path: Path, base: Path, untrained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, out = tmp_path / "train", tmp_path / "out"
    checkpoint(train / "global_step_2" / "actor" / "huggingface", untrained)
    checkpoint(train / "global_step_4" / "actor" / "huggingface", untrained)
    broken = train / "global_step_4" / "actor" / "huggingface" / "config.json"
    settings = json.loads(broken.read_text())
    broken.write_text(json.dumps(settings | {"hidden_size": 2 * settings["hidden_size"]}))
    checkpoint(train / "global_step_6" / "actor" / "huggingface", base)
    cut = train / "global_step_8" / "actor" / "huggingface"
    checkpoint(cut, untrained)
    (cut / "model.safetensors").write_bytes((untrained / "model.safetensors").read_bytes()[:-9])
    command = [str(train), *SMALL, f"out={out}"]
    assert watching.main(command) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "lacks model.safetensors to its end" in said and "failed and lies in" in said
    assert steps(out) == [(0, "countdown:3"), (2, "countdown:3"), (6, "countdown:3")]
    (aside,) = (out / "jobs" / "failed").iterdir()
    assert aside.name.startswith("step_000004-") and "Traceback" in (aside / "error.txt").read_text()
    assert not list((out / "jobs").glob("step_*"))
    assert [row["samples_drawn"] for row in read_jsonl(out / "probe.jsonl")] == [24, 12, 0]  # 6 is the base

    (cut / "model.safetensors").write_bytes((untrained / "model.safetensors").read_bytes())
    shutil.rmtree(train / "global_step_2")  # as a trainer that keeps the last ones
    assert watching.main(command) == 0
    assert steps(out)[-1] == (8, "countdown:3") and len(steps(out)) == 4
    assert watching.main([*command, "temperature=1.0"]) == 2
    assert "under other settings" in capsys.readouterr().err
    assert ledger.main([str(out)]) == 0
    assert compare.main([str(out), f"out={tmp_path / 'page'}"]) == 0
    assert probe_command.main([f"run={out}", "retry=true"]) == 1  # it still fails
    assert "1 job(s) that failed are taken up again" in capsys.readouterr().err
    assert [path.name for path in (out / "jobs" / "failed").iterdir()] == [aside.name]


@pytest.mark.slow
def test_several_tasks(tmp_path: Path, base: Path, untrained: Path) -> None:
    checkpoint(tmp_path / "train" / "checkpoint-3", untrained)
    command = [str(tmp_path / "train"), *SMALL, "task=countdown:3,countdown:4"]
    assert watching.main(command) == 0
    out = tmp_path / "train-probe"
    assert sorted(steps(out)) == [(s, f"countdown:{v}") for s in (0, 3) for v in (3, 4)]
    assert read_counts(out / "probes" / "step_000003" / "countdown-4.parquet").counts.n.tolist() == [4] * 3


def read(*arguments: str) -> Any:
    return watching.read(arguments)


def test_mistakes(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(ConfigError) as caught:
        read("task=countdwn", "n=many", "every=2", "stray")
    for part in ("countdwn", "base", "n = 'many'", "every"):
        assert part in str(caught.value)
    for given, said in (
        (("nowhere", "once=true"), "no such directory"),
        ((str(tmp_path / "train"), "k=512", "base_n=8"), "needs the base's pass@512"),
        ((str(tmp_path / "train"), "engine.mode=server"), "holds one model"),
        ((str(tmp_path / "train"), "task=countdown:3,countdown:3"), "each task once"),
    ):
        with pytest.raises(ConfigError, match=said):
            read(*given, "base=b", *(() if any("task=" in g for g in given) else ("task=countdown:3",)))
