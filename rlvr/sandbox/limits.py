"""What one confined call may use up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one call in a confined process; each holds for the call's process with all its threads.

    seconds: wall time. cpu_seconds: processor time. memory_mb: address space, in MiB, of which the
    imported modules take their share. output_bytes: length of the JSON result. printed_bytes: length of
    what it reads from standard input, and of what it prints. start_seconds: wall time for a new worker
    to import the module.
    """

    seconds: float = 2.0
    cpu_seconds: int = 10
    memory_mb: int = 1024
    output_bytes: int = 1 << 20
    printed_bytes: int = 1 << 20
    start_seconds: float = 60.0
