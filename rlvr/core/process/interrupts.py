"""SIGTERM and SIGINT: a training step is finished and saved, anything else stops at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):
    """A signal came while nothing was under way that must be finished."""


class StopSignal:
    """`received` tells whether a signal came. A second SIGINT during a step ends the process at once."""

    def __init__(self) -> None:
        self.received = False
        self._finishing = False
        self._raised = False
        self._tell: Callable[[], str] | None = None

    @contextmanager
    def listening(self) -> Iterator[StopSignal]:
        """Catches both signals within the block, where they raise Interrupted; main thread only."""
        numbers = (signal.SIGTERM, signal.SIGINT)
        before = {number: signal.signal(number, self._receive) for number in numbers}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def finishing(self, tell: Callable[[], str] | None = None) -> Iterator[None]:
        """Within the block a signal is only noted. tell: what is said on stderr when the first comes."""
        before = self._finishing, self._tell
        self._finishing, self._tell = True, tell
        try:
            yield
        finally:
            self._finishing, self._tell = before

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within the block a signal raises Interrupted again, one that came before it too."""
        before, self._finishing = self._finishing, False
        try:
            if self.received:
                self._raised = True
                raise Interrupted
            yield
        finally:
            self._finishing = before

    def _receive(self, number: int, frame: FrameType | None) -> None:
        again, self.received = self.received, True
        if not self._finishing and not self._raised:
            self._raised = True  # a launcher that ends may pass on a second signal while this one ends all
            raise Interrupted
        if again and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not again and self._finishing and self._tell is not None:
            os.write(2, f"\n{self._tell()}\n".encode())  # print may have been interrupted itself
