"""Host memory of two processes that load one model of 450M parameters to train it, in sizes of its files.

    python benchmarks/loading_memory.py

The files are in bfloat16. Counted is what both processes hold beyond what they held before, pages that they
share once (PSS): at most while the weights are read, and once the policy is built, with its optimizer and the
gradient's buffers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

os.environ.setdefault("HF_HUB_OFFLINE", "1")

# stage of ZeRO, dtype
CASES = ((3, "bfloat16"), (0, "float32"))
RANKS = 2
T = TypeVar("T")


def main() -> int:
    if len(sys.argv) > 1:
        found = loaded(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
        (Path(sys.argv[3]) / f"rank-{os.environ['RANK']}.json").write_text(json.dumps(found))
        return 0
    with tempfile.TemporaryDirectory() as directory:
        size = written(Path(directory))
        for zero, dtype in CASES:
            launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
            command = [*launcher, f"--nproc_per_node={RANKS}", __file__, str(zero), dtype, directory]
            subprocess.run(command, check=True, capture_output=True)
            rows = [json.loads((Path(directory) / f"rank-{rank}.json").read_text()) for rank in range(RANKS)]
            reading, built = (sum(row[i] for row in rows) / size for i in range(2))
            print(f"zero={zero} {dtype}: {reading:.2f} models at most while reading, {built:.2f} once built")
    return 0


def written(directory: Path) -> int:
    """Writes a random model; bytes of its weights."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=32_000, hidden_size=1280, intermediate_size=3456, num_hidden_layers=24,
        num_attention_heads=20, num_key_value_heads=4, head_dim=64, tie_word_embeddings=True,
    )  # fmt: skip
    model: torch.nn.Module = Qwen3ForCausalLM(config)
    model.to(torch.bfloat16)
    model.save_pretrained(directory)  # type: ignore[operator]
    return sum(file.stat().st_size for file in directory.glob("*.safetensors"))


def loaded(zero: int, dtype: str, directory: Path) -> list[int]:
    """In a process: bytes at most while it reads the weights, and with the policy built."""
    from rlvr.config.schema import OptimConfig, PolicyConfig
    from rlvr.learning.accelerator import make_accelerator
    from rlvr.learning.policy import Policy
    from rlvr.models.loading import load_policy

    if zero:
        import deepspeed  # noqa: F401  # before anything is counted
    config, optim = PolicyConfig.model_validate({"zero": zero, "dtype": dtype}), OptimConfig()
    accelerator = make_accelerator(config, optim)
    accelerator.wait_for_everyone()
    before = held()
    (model, _), reading = peak(lambda: load_policy(directory, config))
    accelerator.wait_for_everyone()
    kept = Policy(model, config, optim, accelerator, 1.0)
    accelerator.wait_for_everyone()
    built = held() - before
    del kept
    return [reading - before, built]


def peak(call: Callable[[], T]) -> tuple[T, int]:
    """What the call gives, and the most bytes that were held meanwhile."""
    most, done = [held()], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            most.append(held())

    watcher = threading.Thread(target=watch)
    watcher.start()
    found = call()
    done.set()
    watcher.join()
    return found, max(*most, held())


def held() -> int:
    """Bytes of this process, shared pages by its share of them."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this system does not say what a process holds")


if __name__ == "__main__":
    sys.exit(main())
