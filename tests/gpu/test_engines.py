"""The engines' contract on a GPU; its CPU twins: tests/rlvr/engines/test_engine_contract.py."""

from __future__ import annotations

import pytest
import torch
from contracts import keep_the_contract

pytestmark = pytest.mark.gpu
# vLLM compiles the model and captures graphs of it first.
SECONDS = 1800


@pytest.mark.parametrize("kind", ["hf", "vllm", "server"])
def test_engine_keeps_the_contract(kind: str) -> None:
    """vllm: in the trainer's process and on its GPU, with sleep and reload."""
    if kind != "hf":
        pytest.importorskip("vllm", reason="needs vLLM (make install-gpu)")
    keep_the_contract(kind, "cuda", SECONDS)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two NVIDIA GPUs: one is the server's")
def test_a_server_takes_weights_over_nccl() -> None:
    pytest.importorskip("vllm", reason="needs vLLM (make install-gpu)")
    keep_the_contract("server-nccl", "cuda:0", SECONDS)
