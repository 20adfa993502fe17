"""Runs the engines' contract for one engine in a process of its own: vLLM changes the one that it runs in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CONTRACT = Path(__file__).parent / "rlvr" / "engines" / "engine_contract.py"


def keep_the_contract(kind: str, device: str, timeout: float) -> None:
    """Fails with what pytest printed. kind, device: see engine_contract.py; timeout: seconds."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CONTRACT)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={
            **os.environ, "RLVR_CONTRACT": kind, "RLVR_CONTRACT_DEVICE": device, "OMP_NUM_THREADS": "1",
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
