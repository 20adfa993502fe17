"""Calls that a thread beside the main one makes, one after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class Background:
    """A thread, once it is asked for something. It keeps no process alive that ends without `close`."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def run(self, call: Callable[[], T]) -> Callable[[], T]:
        """Has the call made after those before it. What it gives waits for its result, or raises what it
        raised, each time."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, daemon=True, name="background")
            self._thread.start()
        future: Future[T] = Future()
        self._calls.put((future, call))
        return future.result

    def close(self, seconds: float) -> None:
        """Waits so long for the calls that it was given."""
        if self._thread is not None:
            self._calls.put(None)
            self._thread.join(seconds)

    def _serve(self) -> None:
        while (asked := self._calls.get()) is not None:
            future, call = asked
            try:
                future.set_result(call())
            except BaseException as error:  # for whoever waits for the result
                future.set_exception(error)
