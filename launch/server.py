"""python -m launch.server recipe=NAME [key=value ...]: prints the `vllm serve` command, an argument a line.

What a recipe asks of its server; addresses and GPUs are for who starts it, and so is the environment:
VLLM_SERVER_DEV_MODE=1 opens the endpoints through which new weights come.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rlvr.config.schema import Config
from rlvr.core.errors import exit_status
from rlvr.planning.recipe import load_config


def serve_command(config: Config) -> list[str]:
    """The server samples from the distribution whose log-probs it gives, as `engine.dtype` computes it."""
    command = ["vllm", "serve", _model(config.model), "--dtype", config.engine.dtype]
    command += ["--max-num-seqs", str(config.engine.batch_size), "--logprobs-mode", "processed_logprobs"]
    command += ["--generation-config", "vllm"]  # a model's own top-k or penalty would bias every log-prob
    if config.engine.transfer == "nccl":
        command += ["--weight-transfer-config", '{"backend": "nccl"}']
    return command


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
