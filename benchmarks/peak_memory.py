"""Peak memory of one training step at a vocabulary of 151,936 and 2,048 tokens, ours and TRL's.

    python benchmarks/peak_memory.py

Each runs in a process of its own. Printed is the largest resident size, and by how much it exceeds the
size before the models were built, since the libraries that are imported differ.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

MIB = 2**20


def main() -> int:
    if len(sys.argv) > 1:
        print(json.dumps(step_of(sys.argv[1])))
        return 0
    for name in ("ours", "TRL"):
        child = subprocess.run([sys.executable, __file__, name], check=True, capture_output=True, text=True)
        peak, grown = json.loads(child.stdout.splitlines()[-1])
        print(f"{name:5} {peak / MIB:6.0f} MiB, {grown / MIB:6.0f} MiB more than before the models")
    return 0


def step_of(name: str) -> tuple[int, int]:
    """(peak, growth) in bytes of this process, which does one step of rlvr or of TRL."""
    import torch
    from our_step import OurStep
    from trl_step import trl_steps
    from workload import LARGE_VOCABULARY

    torch.set_num_threads(1)
    before = resident()
    if name == "ours":
        ours = OurStep(LARGE_VOCABULARY, lr=1e-5)
        ours.keep_gradient = False
        ours(0)
    else:
        with tempfile.TemporaryDirectory() as directory:
            trainer, callback = trl_steps(LARGE_VOCABULARY, 1, 1e-5, directory, then=lambda step: None)
            callback.keep_gradient = False
            trainer.train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return peak, peak - before


def resident() -> int:
    """Bytes of this process that are in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    sys.exit(main())
