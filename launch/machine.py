"""What the doctor looks at on any machine, whatever the recipe."""

from __future__ import annotations

import importlib.util
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PATIENCE = 5.0  # seconds
ENOUGH_SHM = 2**30  # bytes; containers are given a sixteenth of it, and NCCL then dies of a bus error
ENOUGH_FILES = 4096
GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """What one check found. fault: the run would fail; warning: it may run worse or fail later."""

    check: str
    state: Literal["ok", "warning", "fault"]
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Gpu:
    """One that torch can use, in GiB."""

    name: str
    total: float
    free: float


def check_python(version: Sequence[int] = sys.version_info[:3]) -> Finding:
    found = ".".join(map(str, version[:3]))
    if not (3, 11) <= tuple(version[:2]) <= (3, 13):
        advice = "3.11, 3.12 or 3.13 is needed (in a checkout: make PYTHON=python3.13)"
        return Finding("python", "fault", found, advice)
    return Finding("python", "ok", found)


def torch_gpus() -> list[Gpu]:
    """The GPUs that torch can use; none without torch, which `check_versions` reports."""
    if importlib.util.find_spec("torch") is None:
        return []
    import torch

    if not torch.cuda.is_available():
        return []
    found = []
    for i in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(i)
        found.append(Gpu(torch.cuda.get_device_name(i), total / GIB, free / GIB))
    return found


def driver_gpus() -> str:
    """What nvidia-smi lists, empty where there is none."""
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "" if done.returncode else "; ".join(done.stdout.split("\n")).strip("; ")


def check_gpus(gpus: Sequence[Gpu], driver: str) -> Finding:
    """gpus: that torch can use. driver: what nvidia-smi lists."""
    if not gpus and driver and importlib.util.find_spec("torch") is None:
        advice = "pip install 'rlvr[train]'"
        return Finding("gpus", "fault", f"without torch, {driver} cannot be used", advice)
    if not gpus and driver:
        import torch

        built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "for the CPU alone"
        advice = (
            "a build of torch for CUDA (in a checkout: make install-gpu VENV=.venv-gpu), or a newer driver; "
            "see CUDA_VISIBLE_DEVICES too"
        )
        return Finding("gpus", "fault", f"torch, built {built}, cannot use {driver}", advice)
    if not gpus:
        return Finding("gpus", "ok", "none: runs on the CPU")
    found = f"{len(gpus)} x {gpus[0].name}, {min(g.total for g in gpus):.1f} GiB"
    busy = [str(i) for i, gpu in enumerate(gpus) if gpu.free < 0.9 * gpu.total]
    if busy:
        advice = "nvidia-smi shows who; end it, or leave them out with CUDA_VISIBLE_DEVICES"
        return Finding("gpus", "warning", f"{found}; others hold memory of {', '.join(busy)}", advice)
    return Finding("gpus", "ok", found)


def check_port(name: str, port: int, advice: str, state: Literal["warning", "fault"] = "fault") -> Finding:
    """Whether a port of this machine is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            return Finding(name, state, f"port {port}: {error.strerror}", advice)
    return Finding(name, "ok", f"port {port} is free")


def check_sandbox() -> Finding:
    """Whether bubblewrap can confine a process; tasks that run a model's code need it."""
    if not shutil.which("bwrap"):
        advice = "apt install bubblewrap; tasks that run a model's code need it"
        return Finding("sandbox", "warning", "no bubblewrap (bwrap)", advice)
    command = ["bwrap", "--ro-bind", "/", "/", "--unshare-all", "--die-with-parent", "true"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        problem = done.stderr.strip() if done.returncode else ""
    except subprocess.TimeoutExpired:
        problem = f"no end after {PATIENCE:.0f} s"
    if problem:
        advice = (
            "allow user namespaces: on Ubuntu 24.04 an AppArmor profile for bwrap; not in every container"
        )
        return Finding("sandbox", "warning", f"bubblewrap fails: {problem}", advice)
    return Finding("sandbox", "ok", "bubblewrap works")


def check_shm(directory: str = "/dev/shm") -> Finding:
    if not Path(directory).is_dir():
        return Finding(
            "shared memory", "warning", f"no {directory}", "processes on one machine talk through it"
        )
    total = shutil.disk_usage(directory).total
    size = total / GIB
    if total < ENOUGH_SHM:
        advice = "in a container: --ipc=host or --shm-size=16g"
        return Finding("shared memory", "warning", f"{directory} has {size:.2f} GiB", advice)
    return Finding("shared memory", "ok", f"{directory} has {size:.1f} GiB")


def check_open_files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < ENOUGH_FILES:
        return Finding("open files", "warning", f"at most {soft}", f"ulimit -n {min(hard, 65536)}")
    return Finding("open files", "ok", f"at most {soft}")
