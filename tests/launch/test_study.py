"""The study's runs side by side: with a program that stands in for the trainer, and, slow, as a whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from forked import Forked

from launch.study import ALGORITHMS, SOUND, plan, report
from rlvr.core.run_dir import append_jsonl, read_jsonl

ROOT = Path(__file__).resolve().parents[2]

# It trains a step every 50 ms, and writes what a run directory has; told to end, it does after SAVING s.
TRAINER = """
import json, os, pathlib, signal, sys, time
keys = dict(argument.split("=", 1) for argument in sys.argv[2:])
run = pathlib.Path(keys["run_dir"])
run.mkdir(parents=True, exist_ok=True)
def log(event):
    with open(os.environ["LOG"], "a") as file:
        threads = os.environ["OMP_NUM_THREADS"]
        about = {"event": event, "pid": os.getpid(), "run": run.name, "threads": threads, "keys": keys}
        file.write(json.dumps(about) + "\\n")
def stop(*_):
    log("stopping")
    time.sleep(float(os.environ.get("SAVING", "0")))
    log("stopped")
    sys.exit(130)
signal.signal(signal.SIGTERM, stop)
log("began")
time.sleep(0.2)
if "ppo" in run.name and os.environ.get("FAIL"):
    sys.exit(1)
metrics = run / "metrics.jsonl"
done = len(metrics.read_text().splitlines()) if metrics.exists() else 0
for step in range(done + 1, int(keys["steps"]) + 1):
    time.sleep(0.05)
    with open(metrics, "a") as file:
        file.write(json.dumps({"step": step}) + "\\n")
    if step == 1:
        log("trained")
(run / ".finished").touch()
log("ended")
"""


# The command as it is, but for how often it looks, and for the report, to which a stand-in leaves nothing.
COMMAND = """
import sys
from launch import study
study.POLL_SECONDS = 0.1
study.report = lambda runs, out: 0
sys.exit(study.main(sys.argv[1:]))
"""


class Study:
    """The command, with the stand-in as its launcher."""

    def __init__(self, folder: Path):
        self.runs, self._log, self._command = folder / "runs", folder / "log.jsonl", folder / "command.py"
        self._command.write_text(COMMAND)
        trainer = folder / "trainer.py"
        trainer.write_text(TRAINER)
        self._launcher = f"--launcher={sys.executable} {trainer}"

    def start(self, *arguments: str, **environment: str) -> Forked:
        inherited = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
        return Forked(
            [str(self._command), self._launcher, f"--runs={self.runs}", *arguments],
            ROOT,
            inherited | {"LOG": str(self._log), **environment},
        )

    def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Exit status and what was said."""
        process = self.start(*arguments, **environment)
        _, said = process.communicate(timeout=120)
        return process.returncode, said

    def events(self, event: str) -> list[str]:
        """The runs to which it happened, in its order."""
        return [row["run"] for row in read_jsonl(self._log) if row["event"] == event]

    def log(self) -> list[dict[str, object]]:
        return read_jsonl(self._log)

    def wait_for(self, count: int, event: str, process: Forked) -> None:
        deadline = time.monotonic() + 60
        while len(self.events(event)) < count:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path)


def test_one_goes_ahead_and_then_as_many_as_asked_for(study: Study) -> None:
    _, said = study.run("--seeds", "4", "--jobs=3", "steps=2")
    names = [*ALGORITHMS, "grpo_sound"]
    assert study.events("began")[0] == "grpo_tiny-s4"
    assert sorted(study.events("began")) == sorted(f"{name}_tiny-s4" for name in names)
    assert sorted(study.events("ended")) == sorted(study.events("began"))
    order = [row["event"] for row in study.log()]
    # The first alone until it trains, then three at a time.
    assert order[:2] == ["began", "trained"]
    order = [event for event in order if event != "trained"]
    running, most = 0, 0
    for event in order:
        running += 1 if event == "began" else -1
        most = max(most, running)
    assert 2 <= most <= 3
    assert "7 of 7 runs finished" in said and "min left" in said
    first = study.log()[0]
    assert first["threads"] == str(max(1, (os.cpu_count() or 1) // 3))
    assert first["keys"] == {
        "recipe": "study/grpo_tiny", "seed": "4", "steps": "2", "run_dir": f"{study.runs}/grpo_tiny-s4"
    }  # fmt: skip


def test_stopped_it_goes_on_and_repeats_no_finished_run(study: Study) -> None:
    arguments = ("--seeds", "1", "--jobs=1", "--ablations", "steps=10")
    process = study.start(*arguments)
    study.wait_for(2, "began", process)
    process.send_signal(signal.SIGTERM)
    assert "resumes from what is saved" in process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert study.events("ended") == ["grpo_length_tiny-s1"]
    assert study.events("stopped") == ["grpo_rollouts8_tiny-s1"]
    _, said = study.run(*arguments)
    assert study.events("began").count("grpo_length_tiny-s1") == 1
    assert sorted(study.events("ended")) == sorted(set(study.events("began")))
    assert "4 of 4 runs finished" in said


@pytest.mark.parametrize(("insisting", "saving"), [(False, "0.5"), (True, "60")])
def test_it_waits_until_runs_have_saved_unless_told_twice(study: Study, insisting: bool, saving: str) -> None:
    process = study.start("--seeds", "1", "--jobs=2", "--ablations", "steps=400", SAVING=saving)
    study.wait_for(2, "began", process)
    process.send_signal(signal.SIGINT)
    study.wait_for(2, "stopping", process)
    if insisting:
        process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in said
    assert len(study.events("stopped")) == (0 if insisting else 2)
    for row in study.log():
        with pytest.raises(ProcessLookupError):
            os.kill(int(str(row["pid"])), 0)


def test_a_failure_is_named_and_stops_no_other_run(study: Study) -> None:
    status, said = study.run("--seeds", "1", "--jobs=4", "steps=1", FAIL="1")
    assert status == 1
    assert len(study.events("ended")) == len(ALGORITHMS) + len(SOUND) - 1
    assert "ppo_tiny-s1 failed: see" in said and str(study.runs / "ppo_tiny-s1.log") in said.replace("\n", "")


def test_a_wrong_key_is_found_before_anything_starts(study: Study) -> None:
    status, said = study.run("--seeds", "1", "optim.lrr=1")
    assert status == 2 and "did you mean optim.lr?" in said
    assert study.log() == []


def test_keys_that_the_study_gives_itself_are_refused(study: Study) -> None:
    status, said = study.run("recipe=study/grpo_tiny", "seed=1", "run_dir=runs/x")
    assert status == 2 and "3 mistakes" in said and "give --seeds" in said
    assert study.run("--jobs=0")[0] == 2
    assert study.log() == []


def test_perplexities_of_a_former_end_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("launch.study._evals", lambda name, *_: asked.append(name) or 0)
    run = plan("grpo_tiny", 1, tmp_path, ["steps=4"])
    found = run.directory.path / "perplexity" / "perplexity.jsonl"
    found.parent.mkdir(parents=True)
    append_jsonl(run.directory.metrics, {"step": 4})
    for step, expected in (
        (None, ["perplexity", "compare"]),
        (2, ["perplexity", "compare"]),
        (4, ["compare"]),
    ):
        append_jsonl(found, {"step": step, "task": run.task})
        asked.clear()
        report([run], tmp_path / "report")
        assert asked == expected


@pytest.mark.slow
def test_every_arm_and_the_report(tmp_path: Path) -> None:
    keys = (
        "steps=4", "save_every=2", "probe.max_problems=6", "probe.n=8", "probe.base_n=16",
        "probe.final_n=16", "probe.k=16",
    )  # fmt: skip
    command = [sys.executable, "-m", "launch.study", "--seeds", "1", f"--runs={tmp_path}", *keys]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "report" / "index.html").read_text()
    for name in (*ALGORITHMS, *SOUND):
        card = json.loads((tmp_path / f"{name}_tiny-s1" / "config.json").read_text())
        assert card["algorithm"]["name"] == name.removesuffix("_sound") and card["algorithm"]["name"] in page
        assert card["rewards"]["unsound"] == (0.0 if name in SOUND else None)
    assert "sound pass@1" in page
    assert len(list(tmp_path.glob("*/perplexity/perplexity.jsonl"))) == 7
    # All were held against one measurement of the base.
    bases = {
        json.dumps(row["base_pass_at_k"])
        for run in tmp_path.glob("*-s1")
        for row in read_jsonl(run / "probe.jsonl")
        if row["task"] == "countdown:3"
    }
    assert len(bases) == 1
