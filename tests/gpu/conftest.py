"""Each test here is one body for two devices: its CPU twin runs everywhere, the other on an NVIDIA GPU."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from rlvr.config.schema import OptimConfig, PolicyConfig
from rlvr.learning.accelerator import make_accelerator


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what needs a GPU where torch finds none; fails if RLVR_REQUIRE_GPU is set."""
    if item.get_closest_marker("gpu") is None or torch.cuda.is_available():
        return
    message = "needs an NVIDIA GPU: torch.cuda.is_available() is False"
    if os.environ.get("RLVR_REQUIRE_GPU"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.param)


@pytest.fixture
def accelerator(
    device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[PolicyConfig], Accelerator]]:
    """Makes a run's Accelerator on the device; a process has one at a time."""

    def made(policy: PolicyConfig) -> Accelerator:
        monkeypatch.setenv("ACCELERATE_USE_CPU", str(device.type == "cpu"))
        AcceleratorState._reset_state(reset_partial_state=True)
        found = make_accelerator(policy, OptimConfig())
        assert found.device.type == device.type
        return found

    yield made
    AcceleratorState._reset_state(reset_partial_state=True)
