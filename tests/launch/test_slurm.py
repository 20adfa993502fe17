"""The Slurm scripts, run with programs that stand in for Slurm, vLLM and the trainer, and keep a log."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from accelerate.commands.launch import launch_command_parser

from rlvr.planning.recipe import load_config

ROOT = Path(__file__).resolve().parents[2]
NODE, SERVER = ROOT / "launch" / "slurm_node.sh", ROOT / "launch" / "slurm_server.sh"
PROBE = ROOT / "launch" / "slurm_probe.sh"

# What every stand-in begins with: one line of the log for each call.
LOG = """#!{python}
import json, os, signal, subprocess, sys, threading, time
def log(event, **more):
    with open(os.environ["LOG"], "a") as file:
        file.write(json.dumps(dict(event=event, **more)) + "\\n")
name, arguments = os.path.basename(sys.argv[0]), sys.argv[1:]
log(name, arguments=arguments, pid=os.getpid(), dev=os.environ.get("VLLM_SERVER_DEV_MODE"))
"""

STAND_INS = {
    # Runs the command once for each task; ends its tasks when it is told to end.
    "srun": """
split = next(i for i, a in enumerate(arguments) if not a.startswith("--"))
options = dict(a[2:].split("=", 1) for a in arguments[:split])
tasks = [
    subprocess.Popen(arguments[split:], env=dict(os.environ, SLURM_PROCID=str(rank)))
    for rank in range(int(options.get("ntasks", 1)))
]
signal.signal(signal.SIGTERM, lambda *_: [task.terminate() for task in tasks])
sys.exit(max(abs(task.wait()) for task in tasks))
""",
    "scontrol": """
if arguments[:2] == ["show", "hostnames"]:
    print("\\n".join(arguments[2].split(",")))
""",
    # Signals the trainers, whose step it must be given.
    "scancel": """
for line in open(os.environ["LOG"]):
    call = json.loads(line)
    if call["event"] == "accelerate":
        os.kill(call["pid"], signal.SIGTERM)
""",
    "vllm": """
import http.server
def stop(*_):
    log("server stopped")
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
if os.environ.get("SERVER_DIES"):
    sys.exit(1)
if "--headless" not in arguments:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/health" else 404)
            self.end_headers()
        def log_message(self, *_): pass
    port = int(arguments[arguments.index("--port") + 1])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
while True:
    time.sleep(0.1)
""",
    # TRAINER: its exit status, or "waits" for a signal, after which a run that has saved ends with 1.
    "accelerate": """
if os.environ["TRAINER"] == "waits":
    signal.signal(signal.SIGTERM, lambda *_: (log("saved"), os._exit(1)))
    log("training")
    time.sleep(60)
sys.exit(int(os.environ["TRAINER"]))
""",
}

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def start(tmp_path: Path, port: int) -> Start:
    """Starts a script as Slurm would, in job 42 with three nodes."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, body in STAND_INS.items():
        (folder / name).write_text(LOG.replace("{python}", sys.executable) + body)
        (folder / name).chmod(0o755)
    (folder / "sleep").write_text("#!/bin/sh\nexec /bin/sleep 0.1\n")  # what waits looks more often
    (folder / "sleep").chmod(0o755)

    def run(script: Path, *arguments: str, trainer: str = "0", **environment: str) -> subprocess.Popen[str]:
        path = f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        job = {
            "SLURM_JOB_ID": "42",
            "SLURM_SUBMIT_DIR": str(ROOT),
            "SLURM_JOB_NODELIST": "10.0.0.1,10.0.0.2,localhost",
        }
        own = {
            "LOG": str(tmp_path / "log"),
            "TRAINER": trainer,
            "PORT": str(port),
            "VENV": "none",
            "WAIT": "60",
        }
        return subprocess.Popen(
            ["bash", str(script), *arguments],
            env={**os.environ, **job, **own, "PATH": path, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


@pytest.fixture
def events(tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """The log so far, or the calls of one program."""

    def read(event: str | None = None) -> list[dict[str, Any]]:
        log = tmp_path / "log"
        calls = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [call for call in calls if event in (None, call["event"])]

    return read


def ends(script: subprocess.Popen[str], status: int) -> str:
    """Waits for a script to end with that status; what it said on stderr."""
    _, errors = script.communicate(timeout=120)
    assert script.returncode == status, errors
    return errors


def until(events: Callable[..., list[dict[str, Any]]], event: str, count: int = 1) -> None:
    deadline = time.monotonic() + 60
    while len(events(event)) < count:
        assert time.monotonic() < deadline, f"no {event}: {events()}"
        time.sleep(0.05)


def has(arguments: list[str], *run: str) -> bool:
    """Whether the arguments hold these, one after the other."""
    return any(tuple(arguments[i : i + len(run)]) == run for i in range(len(arguments)))


@pytest.mark.parametrize("script", [NODE, SERVER, PROBE], ids=lambda s: s.stem)
def test_the_scripts_parse(script: Path) -> None:
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert os.access(script, os.X_OK)


def test_a_server_is_started_waited_for_and_stopped(start: Start, events: Any, port: int) -> None:
    ends(start(SERVER, "recipe=grpo_qwen7b", "seed=3"), 0)
    order = [e["event"] for e in events() if e["event"] in ("vllm", "accelerate", "server stopped")]
    assert order == ["vllm", "accelerate", "accelerate", "server stopped"]
    server = events("vllm")[0]
    assert server["dev"] == "1"
    assert server["arguments"][:2] == ["serve", "Qwen/Qwen2.5-7B"]
    assert has(server["arguments"], "--weight-transfer-config", '{"backend": "nccl"}')
    assert has(server["arguments"], "--data-parallel-size", "8", "--data-parallel-size-local", "8")
    serving, training = events("srun")
    assert "--nodelist=localhost" in serving["arguments"]
    assert "--nodelist=10.0.0.1,10.0.0.2" in training["arguments"]
    assert training["dev"] is None
    ranks = set()
    for call in events("accelerate"):
        parsed = launch_command_parser().parse_args(call["arguments"][1:])
        ranks.add(parsed.machine_rank)
        assert (parsed.num_machines, parsed.num_processes, parsed.main_process_ip) == (2, 16, "10.0.0.1")
        assert parsed.config_file == str(ROOT / "launch" / "nodes2_zero3.yaml")
        assert parsed.module and parsed.training_script == "rlvr.train"
        config = load_config(parsed.training_script_args, world_size=16)
        assert (config.engine.mode, config.engine.url) == ("server", f"http://localhost:{port}")
        assert config.seed == 3
    assert ranks == {0, 1}
    assert events("scontrol")[-1]["arguments"][0] == "show"  # not queued again


def test_two_server_nodes_and_copies_over_several_gpus(start: Start, events: Any) -> None:
    nodes = {"SLURM_JOB_NODELIST": "10.0.0.1,localhost,10.0.0.3", "SLURM_GPUS_PER_NODE": "h100:8"}
    shares = {"SERVER_NODES": "2", "TENSOR": "4"}
    ends(start(SERVER, "recipe=grpo_qwen7b", "engine.transfer=files", **nodes, **shares), 0)
    first, second = sorted(events("vllm"), key=lambda call: "--headless" in call["arguments"])
    for call in (first, second):
        assert "--weight-transfer-config" not in call["arguments"]
        assert has(call["arguments"], "--data-parallel-size", "4", "--data-parallel-size-local", "2")
        assert has(call["arguments"], "--data-parallel-address", "localhost")
    assert has(second["arguments"], "--headless", "--data-parallel-start-rank", "2")
    assert len(events("accelerate")) == 1 and len(events("server stopped")) == 2


def test_a_failed_training_ends_the_server_and_is_not_queued_again(start: Start, events: Any) -> None:
    ends(start(SERVER, "recipe=grpo_qwen7b", trainer="3"), 3)
    assert len(events("server stopped")) == 1
    assert all(call["arguments"][0] != "requeue" for call in events("scontrol"))


@pytest.mark.parametrize(("script", "step"), [(NODE, "42"), (SERVER, "42.1")], ids=["node", "server"])
def test_a_signal_lets_the_trainer_save_and_queues_the_job_again(
    start: Start, events: Any, script: Path, step: str, tmp_path: Path
) -> None:
    recipe = ["recipe=grpo_tiny", f"run_dir={tmp_path}/run"] if script == NODE else ["recipe=grpo_qwen7b"]
    running = start(script, *recipe, trainer="waits")
    until(events, "training", 1 if script == NODE else 2)
    running.send_signal(signal.SIGTERM)
    ends(running, 1)
    assert [call["arguments"] for call in events("scancel")] == [["--signal=TERM", step]]
    assert events("saved")
    assert events("scontrol")[-1]["arguments"] == ["requeue", "42"]
    if script == SERVER:
        order = [e["event"] for e in events()]
        assert order.index("server stopped") > order.index("saved")


def test_a_server_that_dies_is_said_and_nothing_trains(start: Start, events: Any) -> None:
    errors = ends(start(SERVER, "recipe=grpo_qwen7b", SERVER_DIES="1"), 1)
    assert "a vLLM server ended before it answered" in errors
    assert not events("accelerate")


def test_mistakes_are_said_before_anything_starts(start: Start, events: Any) -> None:
    errors = ends(start(SERVER, "recipe=grpo_qwen7b", SERVER_NODES="3"), 1)
    assert "leave some to train" in errors
    errors = ends(start(SERVER, "recipe=grpo_qwen"), 1)
    assert "did you mean grpo_qwen7b?" in errors
    assert not events("srun")


def test_one_node_looks_before_it_trains(start: Start, events: Any, tmp_path: Path) -> None:
    ends(start(NODE, "recipe=grpo_tiny", f"run_dir={tmp_path}/run"), 0)
    doctor, training = (call["arguments"] for call in events("srun"))
    assert doctor[:3] == ["python", "-m", "launch.preflight"]
    parsed = launch_command_parser().parse_args(training[2:])
    assert parsed.config_file == str(ROOT / "launch" / "node_zero3.yaml")
    assert parsed.module and parsed.training_script == "rlvr.train"
    ends(start(NODE, "recipe=grpo_tiny", "model=/nowhere", HF_HUB_OFFLINE="1"), 1)
    assert len(events("accelerate")) == 1


def test_a_probe_is_launched_on_every_gpu_of_its_job(start: Start, events: Any) -> None:
    ends(start(PROBE, "run=runs/x", "follow=true", SLURM_GPUS_ON_NODE="4"), 0)
    parsed = launch_command_parser().parse_args(events("accelerate")[0]["arguments"][1:])
    assert parsed.module and parsed.training_script == "evals" and parsed.num_processes == 4
    assert parsed.training_script_args == ["probe", "run=runs/x", "follow=true"]
    assert not events("scontrol")
    ends(start(PROBE, "run=runs/x", trainer="1"), 1)
    assert not events("scontrol")


def test_a_probe_whose_time_ends_is_queued_again(start: Start, events: Any) -> None:
    running = start(PROBE, "run=runs/x", trainer="waits")
    until(events, "training")
    running.send_signal(signal.SIGTERM)
    ends(running, 0)
    assert events("scontrol")[-1]["arguments"] == ["requeue", "42"]
    assert events("saved"), "its processes were told"


def test_shellcheck_finds_nothing() -> None:
    if not shutil.which("shellcheck"):
        pytest.skip("no shellcheck: make install-test")
    subprocess.run(["shellcheck", str(NODE), str(SERVER), str(PROBE)], check=True)
