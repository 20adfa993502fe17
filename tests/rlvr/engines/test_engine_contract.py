"""One contract, held by every engine, each in a process of its own: vLLM changes the one that it runs in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from forked import finished

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
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = finished(
        ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(CONTRACT)],
        env=own | {"RLVR_CONTRACT": kind},
        timeout=540,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
