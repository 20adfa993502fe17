"""How long a thread that waits for the others of its process keeps a core busy."""

from __future__ import annotations

import os

# Rounds of a loop, some tens of microseconds. libgomp's own 300,000 are milliseconds: beside another program,
# a thread that has no core yet is then waited for on the very core that it needs.
SPINS = 1_000


def wait_briefly() -> None:
    """Lets waiting threads sleep soon. Has an effect only before torch is loaded, whose OpenMP runtime reads
    the environment then; a user's own setting stays. benchmarks/beside_others.py shows what it gives."""
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = str(SPINS)
