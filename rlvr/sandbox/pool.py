"""A pool of confined workers, for every verifier that is more than a few lines of our own string code."""

from __future__ import annotations

import os
import queue
import weakref
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rlvr.sandbox.choice import choose
from rlvr.sandbox.limits import Limits
from rlvr.sandbox.mechanisms import Confinement
from rlvr.sandbox.worker import CallFailed, Worker


class WorkerPool:
    """Calls one function in confined, killable processes. For any number of threads, under any launcher.

    function: "package.module:function"; its arguments and result are what JSON can hold.
    workers: processes at most; by default this process's share of the CPUs, which the training processes
        of a machine divide. They start when needed.
    packages: whether the function may import and read installed packages, or the names of those that it may.
    warm_up: arguments of a harmless call, made once in each worker when it starts, so that what the
        function imports or caches late is there for every call.
    confinement: by default the best that works here, down to limits alone with a warning.

    A caller waits for a free worker, then at most `limits.seconds` + 0.5 s for its answer. With as many
    callers as workers nobody waits for a worker; otherwise a caller waits for those before it. Starting
    a worker takes up to `limits.start_seconds`; it happens at first, and again if a worker is lost whole.
    """

    def __init__(
        self,
        function: str,
        workers: int | None = None,
        limits: Limits | None = None,
        packages: bool | Sequence[str] = True,
        warm_up: Sequence[Any] | None = None,
        confinement: Confinement | None = None,
    ):
        self.function = function
        self.workers = workers or _share_of_cpus()
        self.limits = limits or Limits()
        self.packages = packages
        self.warm_up = warm_up
        self._confinement = confinement
        self._reset()
        _pools.add(self)

    @property
    def confinement(self) -> Confinement:
        """How the workers are confined; found out at first use."""
        if self._confinement is None:
            self._confinement = choose(allow_unsafe=True)
        return self._confinement

    def call(
        self,
        *arguments: Any,
        seconds: float | None = None,
        output_bytes: int | None = None,
        printed: bool = False,
    ) -> Any:
        """What the function returns; `seconds` and `output_bytes` instead of the pool's own limits.

        printed: what it printed and its exit status instead, see `Worker.call`.
        Raises TimedOut, WorkerDied or WorkerError, all CallFailed; StartError where no worker starts.
        """
        slots = self._slots
        worker = slots.get()
        try:
            if worker is None or not worker.alive:
                self._started.discard(worker)
                worker = None  # so that a failing start leaves the slot empty
                worker = self._start()
                self._started.add(worker)
            return worker.call(arguments, seconds, output_bytes, printed)
        finally:
            slots.put(worker)

    def map(self, calls: Iterable[Sequence[Any]], seconds: float | None = None) -> list[Any]:
        """The result of each call, or the CallFailed that it ended with, in order; all workers work."""

        def one(arguments: Sequence[Any]) -> Any:
            try:
                return self.call(*arguments, seconds=seconds)
            except CallFailed as failure:
                return failure

        with ThreadPoolExecutor(self.workers) as callers:
            return list(callers.map(one, calls))

    def close(self) -> None:
        """Ends all workers; the pool can be used again. It also happens when this process ends."""
        _kill(self._started)

    def _start(self) -> Worker:
        return Worker(self.function, self.confinement, self.limits, self.packages, self.warm_up)

    def _reset(self) -> None:
        # The last to be used is the next to be used, so workers start only when needed.
        self._slots: queue.LifoQueue[Worker | None] = queue.LifoQueue()
        for _ in range(self.workers):
            self._slots.put(None)
        self._started: set[Worker] = set()
        weakref.finalize(self, _kill, self._started)


_pools: weakref.WeakSet[WorkerPool] = weakref.WeakSet()


def _forget_workers() -> None:
    """A forked process must not talk to its parent's."""
    for pool in _pools:
        pool._reset()


os.register_at_fork(after_in_child=_forget_workers)


def _kill(workers: set[Worker]) -> None:
    while workers:
        workers.pop().kill()


def _share_of_cpus() -> int:
    """CPUs that this process may use, over the processes that its launcher started on this machine."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cpus // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
