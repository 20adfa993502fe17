"""One contract, held by every engine, on the CPU; on a GPU: tests/gpu/test_engines.py."""

from __future__ import annotations

import pytest
from contracts import keep_the_contract


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
    keep_the_contract(kind, "cpu", timeout=1200 if kind == "server" else 540)
