"""SIGTERM and SIGINT as a request to finish the step, save and exit."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopSignal:
    """`received` is the number of the first signal, 0 before it. A second SIGINT ends the process at once."""

    def __init__(self) -> None:
        self.received = 0

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = self.received or number

    @contextmanager
    def listening(self) -> Iterator[StopSignal]:
        """Catches both signals within the block; main thread only."""
        numbers = (signal.SIGTERM, signal.SIGINT)
        before = {number: signal.signal(number, self._receive) for number in numbers}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
