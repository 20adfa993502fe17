"""Confined processes: code that may be hostile computes, and can do nothing else.

`WorkerPool` calls a function in processes that have no files, no network and no other process within
reach, under limits and a deadline. docs/sandbox.md says what is confined by what, and what is not.
"""

from rlvr.sandbox.choice import ConfinementError, choose
from rlvr.sandbox.limits import Limits
from rlvr.sandbox.mechanisms import BUBBLEWRAP, LANDLOCK, UNSAFE, Confinement
from rlvr.sandbox.pool import WorkerPool
from rlvr.sandbox.worker import CallFailed, StartError, TimedOut, WorkerDied, WorkerError

__all__ = [
    "BUBBLEWRAP",
    "LANDLOCK",
    "UNSAFE",
    "CallFailed",
    "Confinement",
    "ConfinementError",
    "Limits",
    "StartError",
    "TimedOut",
    "WorkerDied",
    "WorkerError",
    "WorkerPool",
    "choose",
]
