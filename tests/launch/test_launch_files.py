"""What `accelerate launch` makes of the files in launch/, and that the trainer holds them to the recipe."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from forked import Forked, finished

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "launch").glob("*.yaml"))
ACCELERATE = ["-m", "accelerate.commands.accelerate_cli", "launch"]

# Run as every process of a launch: writes what the launcher told it.
REPORT = """
import json, os, sys
with open(os.path.join(sys.argv[1], os.environ.get("RANK", "0") + ".json"), "w") as file:
    json.dump(dict(os.environ), file)
"""


def stage_of(file: Path) -> int:
    """The ZeRO stage in a launch file's name; 0 where it names none."""
    named = re.search(r"_zero(\d)$", file.stem)
    return int(named[1]) if named else 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_the_name_says_what_the_file_gives(file: Path) -> None:
    config = load_config_from_file(str(file))
    assert config.deepspeed_config.get("zero_stage", 0) == stage_of(file)
    assert config.num_machines == (2 if file.stem.startswith("nodes2") else 1)
    processes = {"cpu": 2, "gpu1": 1, "node": 8, "nodes2": 16}[file.stem.partition("_")[0]]
    assert config.num_processes == processes
    # The recipe's policy.dtype decides; with a precision in the file DeepSpeed's plugin would refuse its own.
    assert config.mixed_precision is None


@pytest.mark.distributed
@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_every_file_launches_its_processes(file: Path, tmp_path: Path) -> None:
    """All machines of the file are played by this one."""
    config = load_config_from_file(str(file))
    script = tmp_path / "report.py"
    script.write_text(REPORT)
    command = [*ACCELERATE, "--config_file", str(file), "--main_process_port", str(free_port())]
    machines = []
    for rank in range(config.num_machines):
        place = ["--machine_rank", str(rank), "--main_process_ip", "127.0.0.1"]
        machines.append(Forked([*command, *place, str(script), str(tmp_path)]))
    for machine in machines:
        _, errors = machine.communicate(timeout=120)
        assert machine.returncode == 0, errors
    reports = {f.stem: json.loads(f.read_text()) for f in tmp_path.glob("*.json")}
    assert reports.keys() == {str(rank) for rank in range(config.num_processes)}
    for report in reports.values():
        if stage_of(file):
            assert report["ACCELERATE_USE_DEEPSPEED"] == "true"
            assert report["ACCELERATE_DEEPSPEED_ZERO_STAGE"] == str(stage_of(file))
        else:
            assert "ACCELERATE_USE_DEEPSPEED" not in report
        assert report["ACCELERATE_MIXED_PRECISION"] == "no"
        assert int(report.get("WORLD_SIZE", 1)) == config.num_processes


@pytest.mark.distributed
def test_the_trainer_refuses_a_file_of_another_stage(tmp_path: Path) -> None:
    file = ROOT / "launch" / "cpu_zero2.yaml"
    command = [*ACCELERATE, "--config_file", str(file), "--main_process_port", str(free_port())]
    train = [str(ROOT / "rlvr" / "train.py"), "recipe=grpo_tiny", "policy.zero=3"]
    done = finished([*command, *train], tmp_path)
    assert done.returncode != 0
    assert "started with ZeRO stage 2: give policy.zero=2 or a launch file" in done.stderr
    assert list(tmp_path.iterdir()) == []


SAVES_LATE = """
import os, signal, sys, time
def save(*_):
    time.sleep(8)
    open(os.path.join(sys.argv[1], "saved" + os.environ["RANK"]), "w").close()
    os._exit(130)
signal.signal(signal.SIGTERM, save)
open(os.path.join(sys.argv[1], "ready" + os.environ["RANK"]), "w").close()
time.sleep(120)
"""


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize(("patience", "saved"), [("1", 0), ("60", 2)])
def test_how_long_a_signalled_launch_waits_is_what_the_slurm_scripts_set(
    patience: str, saved: int, tmp_path: Path
) -> None:
    """A run that needs 8 s to save gets them by TORCH_ELASTIC_SHUTDOWN_TIMEOUT."""
    script = tmp_path / "late.py"
    script.write_text(SAVES_LATE)
    file = ROOT / "launch" / "cpu_zero2.yaml"
    command = [*ACCELERATE, "--config_file", str(file), "--main_process_port", str(free_port())]
    environment = {**os.environ, "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": patience}
    command = [sys.executable, *command, str(script), str(tmp_path)]
    launcher = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("ready*"))) < 2:
        assert time.monotonic() < deadline and launcher.poll() is None
        time.sleep(0.1)
    launcher.terminate()
    launcher.communicate(timeout=60)
    assert launcher.returncode != 0
    assert len(list(tmp_path.glob("saved*"))) == saved
