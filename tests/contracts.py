"""Runs the engines' contract for one engine in a process of its own: vLLM changes the one that it runs in."""

from __future__ import annotations

import os
from pathlib import Path

from forked import finished

CONTRACT = Path(__file__).parent / "rlvr" / "engines" / "engine_contract.py"


def keep_the_contract(kind: str, device: str, timeout: float) -> None:
    """Fails with what pytest printed. kind, device: see engine_contract.py; timeout: seconds."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = finished(
        ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(CONTRACT)],
        env=own | {"RLVR_CONTRACT": kind, "RLVR_CONTRACT_DEVICE": device, "OMP_NUM_THREADS": "1"},
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
