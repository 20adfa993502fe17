"""A time limit for code that runs in this thread and may never return, whatever it does meanwhile.

Four cases, and what ends them. It sleeps or waits: a signal. It computes in Python, or in C code that looks
for signals (a regular expression): a timer of the process's own CPU time. It sits in C code without the
interpreter's lock, or swallows what is raised: another thread, which ends the process. It holds the lock for
good: `faulthandler`, which needs no lock, prints where and ends the process.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# Seconds from what is raised to the end of a process that did not heed it.
GRACE = 10.0
STATUS = 1
_NUMBER = signal.SIGVTALRM
_STDERR = 2
_end = os._exit  # others may put something else in its place


class Overdue(BaseException):
    """Raised where the limit has passed; no `except Exception` on the way takes it."""


class Deadline:
    """seconds: between two signs of progress. said: what to print where the process has to be ended."""

    def __init__(self, seconds: float, said: Callable[[], str], grace: float = GRACE):
        self.seconds = seconds
        self.said = said
        self.grace = grace
        self._last = 0.0
        self._over = threading.Event()

    def progressed(self) -> None:
        """A sign of progress: the time begins anew."""
        self._last = time.monotonic()

    @property
    def passed(self) -> bool:
        return not self._over.is_set() and time.monotonic() - self._last > self.seconds

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watches the block, in the main thread. Raises Overdue in it."""
        self.progressed()
        in_main = threading.current_thread() is threading.main_thread()
        watcher = threading.Thread(target=self._watch, args=(in_main,), daemon=True, name="deadline")
        tick = min(max(self.seconds / 8, 0.05), 5.0)
        if in_main:  # the handler stays: it does nothing but for the deadline of the moment
            signal.signal(_NUMBER, self._raise)
            signal.setitimer(signal.ITIMER_VIRTUAL, tick, tick)
        watcher.start()
        try:
            yield
        finally:
            self._over.set()
            if in_main:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            watcher.join()
            faulthandler.cancel_dump_traceback_later()

    def _raise(self, number: int, frame: FrameType | None) -> None:
        if self.passed:
            raise Overdue

    def _watch(self, in_main: bool) -> None:
        """In a thread of its own."""
        while not self._over.is_set():
            rest = self.seconds - (time.monotonic() - self._last)
            if rest < 0:
                break
            faulthandler.dump_traceback_later(rest + 2 * self.grace, exit=True, file=_STDERR)
            self._over.wait(min(rest + 0.01, max(self.seconds / 4, 0.05)))
        if self._over.is_set():
            return
        if in_main:
            signal.pthread_kill(threading.main_thread().ident or 0, _NUMBER)
            if self._over.wait(self.grace):
                return
        print(f"\n{self.said()}", file=sys.stderr, flush=True)
        faulthandler.dump_traceback(file=_STDERR)
        _end(STATUS)
