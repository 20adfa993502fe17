"""A launcher, rank or server that goes away: everything ends within a minute, saved and typed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from forked import Forked
from stand_in_server import free_port

from faults.evidence import differences, evidence, left_behind
from faults.kills import Whole
from faults.outcome import Outcome
from faults.programs import KINDS, PATIENCE, ROOT, RUN, TRAINER
from rlvr.core.run_dir import RunDir, read_jsonl, step_folders

LONGEST = 60.0
# More steps than are trained before the fault.
LONG = (*RUN, "steps=400", "save_every=100", "rollouts.prompts=4")
LAUNCH = (
    sys.executable, "-m", "accelerate.commands.launch", "--num_machines", "1", "--mixed_precision", "no",
    "--dynamo_backend", "no", "--num_cpu_threads_per_process", "1", "--cpu",
    "--num_processes", "1",
)  # fmt: skip


def campaign(directory: Path) -> Outcome:
    """Every case once."""
    outcome = Outcome("lost processes")
    for name, case in CASES.items():
        place = directory / name.replace(" ", "-")
        place.mkdir(parents=True)
        outcome.tries += 1
        outcome.faults += 1
        failures, seconds = case(place)
        outcome.notes.append(f"{name}: all ended after {seconds:.1f} s")
        outcome.failures += [f"{name}: {failure}" for failure in failures]
        print(f"  {outcome.notes[-1]}, {len(failures)} failures", flush=True)
        if not failures:
            shutil.rmtree(place)
    return outcome


def launched(place: Path, processes: int, *arguments: str) -> subprocess.Popen[bytes]:
    """A long run in its directory, by `accelerate launch` or, in two ranks, torchrun; the log is in `log`."""
    environment = {**os.environ, "RLVR_STORE": "store", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
                   "PYTHONPATH": str(ROOT), "ACCELERATE_USE_CPU": "true"}  # fmt: skip
    several = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(processes),
               "--master_port", str(free_port())]  # fmt: skip
    command = [*(several if processes > 1 else LAUNCH), TRAINER, *LONG, *arguments]
    with open(place / "log", "wb") as log:
        return subprocess.Popen(command, cwd=place, env=environment, stdout=log, stderr=log)


def trains(place: Path, process: subprocess.Popen[bytes]) -> None:
    """Waits until some steps are trained."""
    ends = time.monotonic() + PATIENCE
    while len(read_jsonl(place / "run" / "metrics.jsonl")) < 3:
        if process.poll() is not None or time.monotonic() > ends:
            raise RuntimeError(f"it does not train: {(place / 'log').read_text()[-2000:]}")
        time.sleep(0.05)


def launcher_gone(place: Path, processes: int, number: int) -> tuple[list[str], float]:
    """The launcher alone gets the signal; what it started saves the step that it was at."""
    process = launched(place, processes)
    trains(place, process)
    process.send_signal(number)
    process.wait(PATIENCE)
    left, seconds = left_behind(str(place), LONGEST)
    failures = [f"process {one} is there after {LONGEST:.0f} s" for one in left]
    run = RunDir(place / "run")
    steps = [row["step"] for row in read_jsonl(run.metrics)]
    if max(step_folders(run.checkpoints), default=0) != steps[-1]:
        failures.append(f"trained {steps[-1]} steps, saved {[*step_folders(run.checkpoints)]}")
    for one in left:
        os.kill(one, signal.SIGKILL)
    return failures, seconds


def rank_gone(place: Path, with_launcher: bool) -> tuple[list[str], float]:
    """One of two ranks is killed; without a launcher nobody but the other rank sees it."""
    process = launched(place, 2)
    trains(place, process)
    ranks = [one for one in left_behind(str(place), 0.0)[0] if _parent(one) == process.pid]
    if not with_launcher:
        process.send_signal(signal.SIGSTOP)
    os.kill(ranks[-1], signal.SIGKILL)
    left, seconds = [], 0.0
    if not with_launcher:
        began = time.monotonic()
        while _lives(ranks[0]) and time.monotonic() - began < LONGEST:
            time.sleep(0.1)
        seconds = time.monotonic() - began
        left = [ranks[0]] if _lives(ranks[0]) else []
        process.kill()
    process.wait(PATIENCE)
    others, more = left_behind(str(place), LONGEST)
    said = (place / "log").read_text()
    failures = [f"process {one} is there after {LONGEST:.0f} s" for one in (*left, *others)]
    if not with_launcher and "another process of this run has ended" not in said:
        failures.append(f"the other rank said: {said[-1500:]}")
    for one in others:
        os.kill(one, signal.SIGKILL)
    return failures, seconds + more


def study_gone(place: Path) -> tuple[list[str], float]:
    """The study is killed; its runs save and end, and the same command goes on to the same result."""
    whole = Whole(place / "whole")
    kind = KINDS["study"]
    expected = evidence(whole(kind))
    (place / "try").mkdir()
    environment = {**os.environ, "RLVR_STORE": "store", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *kind.command]
    process = subprocess.Popen(command, cwd=place / "try", env=environment, stderr=subprocess.DEVNULL)
    while not any(read_jsonl(one) for one in (place / "try").glob("study/*/metrics.jsonl")):
        time.sleep(0.05)
    process.kill()
    process.wait()
    left, seconds = left_behind(str(place / "try"), LONGEST)
    failures = [f"process {one} is there after {LONGEST:.0f} s" for one in left]
    done = subprocess.run(command, cwd=place / "try", env=environment, capture_output=True, check=False)
    if done.returncode:
        failures.append(f"ended with {done.returncode}: {done.stderr.decode()[-1500:]}")
    return [*failures, *differences(expected, evidence(place / "try"))], seconds


# Answers slowly, so that requests are under way when it is killed; says its address, and of each request.
SERVER = """
import sys, time
from stand_in_server import Answer, stand_in
def answers(asked, before):
    print("asked", flush=True)
    return Answer(seconds=2.0, choice={"text": "answer: 1", "finish_reason": "stop"})
with stand_in(answers) as server:
    print(server.url, flush=True)
    time.sleep(3600)
"""


def server_gone(place: Path) -> tuple[list[str], float]:
    """A probe asks a server, which is killed while it answers."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "RLVR_STORE": "store"}
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], cwd=place, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout
    url = server.stdout.readline().strip()
    asked = (
        "-m", "evals", "probe", f"model={url}#stand-in", "base=embedded:countdown-untrained", "out=out",
        "task=countdown:3", "n=16", "k=16", "max_problems=8", "max_new_tokens=16",
    )  # fmt: skip
    process = Forked(asked, place, {**environment, "PYTHONPATH": str(ROOT)})
    server.stdout.readline()
    server.kill()
    server.wait()
    began = time.monotonic()
    failures = []
    try:
        status = process.wait(LONGEST)
        if status != 1 or "Traceback" in process.written()[1] or url not in process.written()[1]:
            failures.append(f"ended with {status}: {process.written()[1][-1500:]}")
    except subprocess.TimeoutExpired:
        failures.append(f"it is there after {LONGEST:.0f} s")
        process.kill()
    seconds = time.monotonic() - began
    left, more = left_behind(str(place), LONGEST)
    return [*failures, *(f"process {one} is left" for one in left)], seconds + more


def _parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


CASES: dict[str, Callable[[Path], tuple[list[str], float]]] = {
    "accelerate launch, SIGTERM": lambda place: launcher_gone(place, 1, signal.SIGTERM),
    "accelerate launch, SIGINT": lambda place: launcher_gone(place, 1, signal.SIGINT),
    "accelerate launch, SIGKILL": lambda place: launcher_gone(place, 1, signal.SIGKILL),
    "torchrun with two ranks, SIGKILL": lambda place: launcher_gone(place, 2, signal.SIGKILL),
    "torchrun with two ranks, SIGTERM": lambda place: launcher_gone(place, 2, signal.SIGTERM),
    "a rank, SIGKILL": lambda place: rank_gone(place, with_launcher=True),
    "a rank, SIGKILL, unseen by its launcher": lambda place: rank_gone(place, with_launcher=False),
    "a server, SIGKILL": server_gone,
    "the study, SIGKILL": study_gone,
}
