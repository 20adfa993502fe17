"""Forks of this process by other people's code: the child ends before it computes anything."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_BYTES = 4
_end = os._exit  # others may put something else in its place


class _Watch(threading.local):
    """Of one thread. pipe: where a child says its number before it ends; None: nobody watches."""

    pipe: int | None = None
    forks: int = 0


_watch = _Watch()


@contextmanager
def ended_forks() -> Iterator[Callable[[], int]]:
    """In the block a process that this thread forks is ended at once; gives what tells how many there were.

    Programs that are started (`subprocess`) are no forks. After the block no child is left unreaped.
    """
    reads, _watch.pipe = os.pipe()
    _watch.forks = 0
    try:
        yield lambda: _watch.forks
    finally:
        pipe, _watch.pipe = _watch.pipe, None
        os.close(pipe)
        for _ in range(_watch.forks):
            with suppress(ChildProcessError):  # reaped by who forked it
                os.waitpid(int.from_bytes(os.read(reads, _BYTES)), 0)
        os.close(reads)


def _counted() -> None:
    if _watch.pipe is not None:
        _watch.forks += 1


def _ended() -> None:
    if _watch.pipe is not None:
        os.write(_watch.pipe, os.getpid().to_bytes(_BYTES))
        _end(1)


os.register_at_fork(after_in_parent=_counted, after_in_child=_ended)
