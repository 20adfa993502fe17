"""Whatever somebody's code changes of the process is as it was before, and is named."""

from __future__ import annotations

import decimal
import gc
import locale
import os
import random
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rlvr.core.process.state import PIECES, kept

# What changes each piece, by its name.
CHANGES: dict[str, Callable[[], Any]] = {
    "torch's default dtype": lambda: torch.set_default_dtype(torch.float64),
    "torch's grad mode": lambda: torch.set_grad_enabled(False),
    "torch's anomaly mode": lambda: torch.autograd.set_detect_anomaly(True),
    "torch's precision": lambda: torch.set_float32_matmul_precision("medium"),
    "torch's number of threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "torch's default device": lambda: torch.set_default_device("meta"),
    "torch's deterministic algorithms": lambda: torch.use_deterministic_algorithms(True),
    "torch's autocast": lambda: torch.autocast("cpu", torch.bfloat16).__enter__(),
    "denormal numbers": lambda: torch.set_flush_denormal(True),
    "cuDNN's switches": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "torch's generators": lambda: torch.manual_seed(7),
    "numpy's generator": lambda: np.random.seed(7),
    "random's generator": lambda: random.seed(7),
    "numpy's errors": lambda: np.seterr(all="raise"),
    "the decimal context": lambda: setattr(decimal.getcontext(), "prec", 5),
    "the working directory": lambda: os.chdir("/"),
    "the umask": lambda: os.umask(0o777),
    "environment variables": lambda: os.environ.update(RLVR_STORE="/elsewhere", RLVR_NEW="1"),
    "the handlers of SIGTERM and SIGINT": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "an alarm": lambda: signal.alarm(1000),
    "sys.stdout and sys.stderr": lambda: setattr(sys, "stderr", None),
    "the recursion limit": lambda: sys.setrecursionlimit(sys.getrecursionlimit() + 1),
    "the locale": lambda: locale.setlocale(locale.LC_ALL, "C.UTF-8"),
    "garbage collection": gc.disable,
}


# Imports torch's compiler, which takes seconds.
DEAR = "torch's deterministic algorithms"


@pytest.mark.parametrize(
    "piece",
    [pytest.param(p, id=p.name, marks=[pytest.mark.slow] if p.name == DEAR else []) for p in PIECES],
)
def test_what_is_changed_is_put_back_and_named(
    piece: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if piece.name == "denormal numbers" and not torch.set_flush_denormal(False):
        pytest.skip("this processor has no such switch")
    if piece.name == "the locale":
        request.addfinalizer(partial(locale.setlocale, locale.LC_ALL, locale.setlocale(locale.LC_ALL)))
        locale.setlocale(locale.LC_ALL, "C")
    before, told = piece.read(), list[str]()
    with kept(told.append):
        CHANGES[piece.name]()
        assert piece.read() != before, "the change does not show, so nothing is tested"
    assert piece.read() == before
    assert told == ([] if piece.quiet else [piece.name])


def test_nothing_is_said_where_nothing_changed_and_an_error_puts_back_too() -> None:
    told = list[str]()
    with kept(told.append):
        pass
    assert not told
    with pytest.raises(RuntimeError), kept(told.append):
        torch.set_default_dtype(torch.float64) or torch.ones(2) @ torch.ones(3)  # type: ignore[func-returns-value]
    assert torch.get_default_dtype() == torch.float32 and told == ["torch's default dtype"]


def test_every_piece_has_a_change() -> None:
    assert CHANGES.keys() == {piece.name for piece in PIECES}
