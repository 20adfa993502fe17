"""One contract, held by every engine, each in a process of its own: vLLM changes the one that it runs in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONTRACT = Path(__file__).with_name("engine_contract.py")


@pytest.mark.parametrize(
    "kind",
    [
        "hf",
        pytest.param("vllm", marks=pytest.mark.vllm),
        pytest.param("server", marks=[pytest.mark.vllm, pytest.mark.slow]),
    ],
)
def test_engine_keeps_the_contract(kind: str) -> None:
    if kind != "hf":
        pytest.importorskip("vllm", reason="needs vLLM (make install-test)")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CONTRACT)],
        capture_output=True,
        text=True,
        timeout=540,
        env={**os.environ, "RLVR_CONTRACT": kind, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
