"""Fixtures that several tests share."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Before torch is imported: tests run side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import pytest
from forked import Forked, finished
from hypothesis import settings

from rlvr.sandbox import Confinement, pool
from rlvr.sandbox.choice import HOW_TO_GET_ONE, tested

# Tests never reach for a hub.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# How long an example takes says nothing on a shared machine.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# Test processes side by side share the CPUs, as those of one launch do: each pool starts that many workers.
pool._share_of_cpus = lambda share=pool._share_of_cpus: max(
    1, share() // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
)

ROOT = Path(__file__).resolve().parent.parent
DATA = os.environ.get("RLVR_DATA") or str(ROOT.parent / "shared" / "data")


# A run of a few seconds with all that a dashboard shows.
OFFLINE = (
    "recipe=grpo_tiny", "save_every=2", "rollouts.prompts=8", "rollouts.max_new_tokens=48",
    "probe.max_problems=6", "probe.n=16", "probe.base_n=16", "probe.final_n=16", "probe.k=16",
    "monitor.wandb=offline", "run_dir=run", "hooks=[noted:factory]",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that train, or start programs, begin first: one that begins last would keep the other worker
    waiting for it."""
    long = {"base", "train", "offline_run", "wandb_session", "confinement"}
    first = {
        item.path
        for item in items
        if long & set(getattr(item, "fixturenames", ()))
        or any(item.get_closest_marker(name) for name in ("vllm", "distributed"))
        or any(hasattr(getattr(item, "module", None), name) for name in ("finished", "subprocess"))
    }
    items.sort(key=lambda item: item.path not in first)


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a sample store of its own."""
    monkeypatch.setenv("RLVR_STORE", str(tmp_path / "store"))


@pytest.fixture
def data() -> Path:
    """The directory of the benchmark files; skips without it, fails if RLVR_REQUIRE_DATA is set."""
    if not Path(DATA).is_dir():
        message = "no benchmark files: set RLVR_DATA to their directory"
        if os.environ.get("RLVR_REQUIRE_DATA"):
            pytest.fail(message)
        pytest.skip(message)
    return Path(DATA)


@pytest.fixture(scope="module", params=["bubblewrap", "landlock"])
def confinement(request: pytest.FixtureRequest) -> Confinement:
    """Each way to confine a process; skips what does not work here, with the reason."""
    chosen = Confinement(request.param)
    if wrong := tested(chosen):
        pytest.skip(f"{chosen.name} cannot confine here: {', '.join(wrong)}. {HOW_TO_GET_ONE}")
    return chosen


@pytest.fixture(scope="session")
def untrained() -> Path:
    """The embedded model's architecture with random weights."""
    from rlvr.models.tiny_base import embedded_base

    return embedded_base("countdown-untrained")


@pytest.fixture(scope="session")
def base() -> Path:
    """The embedded base model, pretrained once and then cached."""
    from rlvr.models.tiny_base import embedded_base

    return embedded_base("countdown")


@pytest.fixture
def wandb_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """wandb keeps one session a process: a test gets its own, with a key that no real server knows."""
    import wandb

    wandb.teardown()
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    yield
    wandb.teardown()


@pytest.fixture(scope="session")
def offline_run(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a small run that wandb recorded offline: two steps, and two more in a second part.

    All workers share it.
    """
    own = tmp_path_factory.getbasetemp()
    directory = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "offline"
    with locked(directory.with_suffix(".lock")):
        if not directory.exists():
            record_offline(directory)
    return directory / "run"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def record_offline(directory: Path) -> None:
    directory.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    (directory / "noted.py").write_text(
        "from rlvr.hooks import HookReport, Table\n"
        "def factory(context):\n"
        "    def hook(moment):\n"
        "        return HookReport(tables={'notes': lambda: Table(('step',), [(moment.step,)])})\n"
        "    return hook\n"
    )
    path = os.pathsep.join([str(directory), os.environ.get("PYTHONPATH", "")])
    places = {
        "PYTHONPATH": path,
        "WANDB_DATA_DIR": str(directory / "wandb-data"),
        "RLVR_STORE": str(directory / "store"),
    }
    for steps in (2, 4):
        command = [str(ROOT / "rlvr" / "train.py"), *OFFLINE, f"steps={steps}"]
        done = finished(command, directory, environment | places)
        assert done.returncode == 0, done.stderr
        assert "warning" not in done.stderr


@pytest.fixture
def train(tmp_path: Path) -> Iterator[Callable[..., Forked]]:
    """Starts the trainer as a process of its own, in a directory of its own."""
    started: list[Forked] = []

    def start(*arguments: str, **environment: Any) -> Forked:
        program = [str(ROOT / "rlvr" / "train.py"), *arguments]
        started.append(Forked(program, tmp_path, os.environ | environment))
        return started[-1]

    yield start
    for process in started:
        process.kill()
