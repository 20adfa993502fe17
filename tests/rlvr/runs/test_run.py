"""Whole runs as a user starts them: three steps, kills and resumes, signals, the rules of a run directory."""

from __future__ import annotations

import io
import json
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
import torch
from forked import Forked, ranks
from transformers import AutoModelForCausalLM, AutoTokenizer
from whole_runs import TRAINER, contents, finish, steps, wait_for_steps

from rlvr.core.run_dir import read_jsonl

Train = Callable[..., Forked]

# A run with everything in it that a resume could get wrong, in half a second a step.
SMALL = (
    "recipe=grpo_tiny",
    "steps=6",
    "save_every=2",
    "rollouts.prompts=4",
    "rollouts.max_new_tokens=32",
    "optim.mini_batches=2",
    "optim.epochs=2",
    "optim.micro_batch_tokens=2000",
    "optim.warmup_steps=3",
    "algorithm.kl.coefficient=0.01",
    "probe.max_problems=4",
    "probe.n=8",
    "probe.base_n=16",
    "probe.final_n=16",
    "probe.k=16",
)


@pytest.fixture(scope="module")
def whole(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run that nothing interrupted, started as a user starts it, and what it printed."""
    directory = tmp_path_factory.mktemp("whole")
    command = [sys.executable, str(TRAINER), *SMALL, "run_dir=run"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return directory / "run", done.stderr


def test_the_run_directory(whole: tuple[Path, str]) -> None:
    run, _ = whole
    names = {p.name for p in run.iterdir() if not p.name.startswith(".")}
    assert names == {
        "config.json", "card.json", "metrics.jsonl", "probe.jsonl", "probes", "checkpoints"
    }  # fmt: skip
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == ["step_000004", "step_000006"]
    metrics = pd.read_json(run / "metrics.jsonl", lines=True)
    assert metrics["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert {"rollout/reward", "rollout/entropy", "loss/policy", "time/rollout"} <= set(metrics.columns)
    assert metrics["mismatch/mean"].max() < 1e-5
    assert metrics["loss/grad_norm"].max() > 0
    probes = pd.read_json(run / "probe.jsonl", lines=True)
    assert list(zip(probes["step"], probes["task"], strict=True)) == [
        (step, task) for step in (0, 2, 4, 6) for task in ("countdown:3", "countdown:4")
    ]
    counts = pd.read_parquet(run / "probes/step_000006/countdown-3.parquet")
    assert counts.columns.tolist()[:4] == ["problem", "n", "correct", "stop_r"]
    assert len(counts) == 4 and set(counts["n"]) == {16}
    assert len(pd.read_parquet(run / "probes/base/countdown-4.parquet")) == 4
    samples = pd.read_parquet(run / "probes/step_000006/countdown-3.samples.parquet")
    assert len(samples) == 64
    assert (samples["status"] == "correct").sum() == counts["correct"].sum()


def test_the_probe_records(whole: tuple[Path, str]) -> None:
    run, _ = whole
    first, *_, last = [r for r in read_jsonl(run / "probe.jsonl") if r["task"] == "countdown:3"]
    assert first["ks"] == [1, 2, 4, 8, 16]
    assert first["policy_hash"] == first["base_hash"] == last["base_hash"] != last["policy_hash"]
    assert first["gap"] == pytest.approx(first["base_pass_at_k"][-1] - first["pass_at_k"][0])
    assert last["gap_low"] <= last["gap"] <= last["gap_high"]
    assert last["gained"] + last["lost"] + last["both"] + last["neither"] == last["num_problems"] == 4
    assert (first["samples_drawn"], last["samples_drawn"]) == (64, 64)  # the base is not drawn again
    middle = next(r for r in read_jsonl(run / "probe.jsonl") if r["step"] == 2)
    assert (middle["n"], middle["pass_at_k"][-1], middle["gained"]) == (8, None, None)


def test_what_a_person_sees(whole: tuple[Path, str]) -> None:
    _, shown = whole
    for text in ("Before training", "Probe after step 2", "The gap before and after", "finished: 6 steps",
                 "ETA", "reward", "samples/s", "checkpoints/"):  # fmt: skip
        assert text in shown
    assert "Traceback" not in shown and "Warning" not in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_the_checkpoint_loads_as_a_hugging_face_model(whole: tuple[Path, str]) -> None:
    policy = whole[0] / "checkpoints/step_000006/policy"
    model = AutoModelForCausalLM.from_pretrained(policy)
    tokenizer = AutoTokenizer.from_pretrained(policy)
    out = model.generate(**tokenizer("3 4 5", return_tensors="pt"), max_new_tokens=3, do_sample=False)
    assert out.shape[1] > 5


def test_killed_at_random_steps_it_resumes_to_the_bit(
    whole: tuple[Path, str], train: Train, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    for kill_after in sorted(random.sample(range(1, 6), 2)):
        process = train(*SMALL, "run_dir=run")
        wait_for_steps(run, kill_after, process)
        process.kill()
        process.communicate()
    finish(train(*SMALL, "run_dir=run"))
    assert steps(run) == steps(whole[0])
    for name in ("step_000004", "step_000006"):
        assert contents(run / "checkpoints" / name) == contents(whole[0] / "checkpoints" / name)
    seconds = [(row["total/seconds"], row["time/step"]) for row in read_jsonl(run / "metrics.jsonl")]
    for (before, _), (after, step) in pairwise(seconds):
        assert after == pytest.approx(before + step)
    samples = "probes/step_000006/countdown-3.samples.parquet"
    pd.testing.assert_frame_equal(pd.read_parquet(run / samples), pd.read_parquet(whole[0] / samples))


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_finishes_the_step_and_saves(
    whole: tuple[Path, str], train: Train, tmp_path: Path, number: int
) -> None:
    run = tmp_path / "run"
    arguments = [*SMALL, "run_dir=run", "probe.tasks=[]"]
    process = train(*arguments)
    wait_for_steps(run, 3, process)
    process.send_signal(number)
    finish(process, status=130)
    last = steps(run)[-1]["step"]
    assert (run / f"checkpoints/step_{last:06d}").is_dir()
    finish(train(*arguments))
    assert steps(run) == steps(whole[0])


def test_a_damaged_newest_checkpoint_is_passed_over_and_said(
    whole: tuple[Path, str], train: Train, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    arguments = [*SMALL, "run_dir=run", "probe.tasks=[]"]
    finish(train(*arguments, "steps=4"))
    state = run / "checkpoints/step_000004/trainer/state.pt"
    state.write_bytes(state.read_bytes()[:-10])
    shown = finish(train(*arguments))
    assert "passed over checkpoint step_000004: trainer/state.pt differs" in shown
    assert "going on after step 2 of 6" in shown
    assert steps(run) == steps(whole[0])


def test_a_finished_run_prints_its_table_and_more_steps_continue_it(
    whole: tuple[Path, str], train: Train, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole[0], run)
    before = (run / "metrics.jsonl").read_text()
    shown = finish(train(*SMALL, "run_dir=run"))
    assert "The gap before and after" in shown
    assert "ETA" not in shown
    assert (run / "metrics.jsonl").read_text() == before
    shown = finish(train(*SMALL, "run_dir=run", "steps=7"))
    assert "going on after step 6 of 7" in shown
    assert steps(run)[:6] == steps(whole[0]) and steps(run)[6]["step"] == 7
    assert [r["step"] for r in read_jsonl(run / "probe.jsonl")][-2:] == [7, 7]
    shown = finish(train(*SMALL, "run_dir=run", "steps=5"), status=1)
    assert "has 7 steps, more than steps=5" in shown


def test_ppo_goes_on_with_its_critic_to_the_bit(train: Train, tmp_path: Path, base: Path) -> None:
    """And a run of two steps that is given two more equals one of four."""
    arguments = ["recipe=ppo_tiny", *SMALL[3:], "save_every=2", "probe.tasks=[]"]
    finish(train(*arguments, "steps=4", "run_dir=whole"))
    finish(train(*arguments, "steps=2", "run_dir=parts"))
    finish(train(*arguments, "steps=4", "run_dir=parts"))
    assert steps(tmp_path / "parts") == steps(tmp_path / "whole")
    last = [contents(tmp_path / run / "checkpoints/step_000004") for run in ("parts", "whole")]
    assert last[0] == last[1]
    state = torch.load(io.BytesIO(last[0]["trainer/replica.pt"]), weights_only=True)
    assert state["critic"]["head.weight"].any()
    assert "critic/explained_variance" in steps(tmp_path / "whole")[0]


@pytest.mark.distributed
def test_two_processes_train_and_probe_as_one_does(train: Train, tmp_path: Path, base: Path) -> None:
    arguments = [*SMALL, "steps=2", "save_every=1", "optim.epochs=1", "optim.mini_batches=1"]
    finish(train(*arguments, "run_dir=one", RLVR_STORE=str(tmp_path / "store-one")))
    done = ranks(2, [str(TRAINER), *arguments, "run_dir=two"], tmp_path)
    shown = "".join(process.stderr for process in done)
    assert [process.returncode for process in done] == [0, 0], shown
    assert shown.count("finished: 2 steps") == 1
    one, two = (pd.DataFrame(steps(tmp_path / run)) for run in ("one", "two"))
    same = ["step", "rollout/reward", "rollout/correct", "rollout/length", "total/samples", "total/tokens"]
    pd.testing.assert_frame_equal(one[same], two[same])
    learned = [name for name in one if name.startswith("loss/")]
    pd.testing.assert_frame_equal(one[learned], two[learned], rtol=1e-3, atol=1e-6)
    assert two["mismatch/max"].max() < 1e-4
    first, second = (read_jsonl(tmp_path / run / "probe.jsonl") for run in ("one", "two"))
    assert [(r["step"], r["task"], r["samples_drawn"]) for r in first] == [
        (r["step"], r["task"], r["samples_drawn"]) for r in second
    ]
    assert first[0]["pass_at_k"] == second[0]["pass_at_k"]


def test_another_configuration_is_refused(whole: tuple[Path, str], train: Train) -> None:
    shown = finish(train(*SMALL, f"run_dir={whole[0]}", "optim.lr=5e-5", "seed=4"), status=1)
    assert "optim.lr: 0.0001 there, 5e-05 now" in shown
    assert "seed: 0 there, 4 now" in shown


def test_a_live_run_is_refused(train: Train, tmp_path: Path, base: Path) -> None:
    endless = [*SMALL, "steps=10000", "save_every=10000", "probe.tasks=[]", "run_dir=run"]
    first = train(*endless)
    wait_for_steps(tmp_path / "run", 1, first)
    shown = finish(train(*endless), status=1)
    assert f"is in use by process {first.pid}" in shown
    first.kill()
    first.communicate()


def test_hooks_come_by_configuration(train: Train, tmp_path: Path, base: Path) -> None:
    (tmp_path / "my_hooks.py").write_text(
        "import json\n"
        "from rlvr.hooks import HookReport\n"
        "def factory(context):\n"
        "    def hook(event):\n"
        "        row = [context.config.recipe, event.step, event.policy.name, event.last]\n"
        "        open('hook.jsonl', 'a').write(json.dumps(row) + '\\n')\n"
        "        return HookReport(stop='enough' if event.step == 4 else None)\n"
        "    return hook\n"
    )
    arguments = [*SMALL, "steps=3", "run_dir=run", "probe.tasks=[]", "hooks=[my_hooks:factory]"]
    finish(train(*arguments, PYTHONPATH=str(tmp_path)))
    rows = [json.loads(line) for line in (tmp_path / "hook.jsonl").read_text().splitlines()]
    assert [row[1] for row in rows] == [0, 2, 3]
    assert [row[3] for row in rows] == [False, False, True]
    arguments.append("steps=9")
    assert "stopped early after step 4: enough" in finish(train(*arguments, PYTHONPATH=str(tmp_path)))
    rows = [json.loads(line) for line in (tmp_path / "hook.jsonl").read_text().splitlines()]
    assert [(row[1], row[3]) for row in rows[3:]] == [(4, False), (4, True)]


@pytest.mark.parametrize("hook", ["nowhere:factory", "json:nothing"])
def test_a_hook_that_does_not_exist_is_a_configuration_error(train: Train, hook: str) -> None:
    shown = finish(train(*SMALL, f"hooks=[{hook}]"), status=2)
    assert f"hooks[0] = '{hook}'" in shown
