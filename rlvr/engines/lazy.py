"""An engine that is built when it is first needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from rlvr.engines import Engine, Stream

if TYPE_CHECKING:
    from torch import Tensor


class LazyEngine:
    """An engine that is built when the first stream is asked of it; closed at the end of the block.

    name, dtype: of the engine that `build` makes. loading: seconds that building took.
    """

    def __init__(self, name: str, dtype: str, build: Callable[[], Engine]):
        self.name, self.dtype, self.build = name, dtype, build
        self.loading = 0.0
        self._built: Engine | None = None

    def stream(self) -> Stream:
        return self.built().stream()

    def load(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        self.built().load(weights)

    def sleep(self) -> None:
        if self._built is not None:
            self._built.sleep()

    def close(self) -> None:
        if self._built is not None:
            self._built.close()
        self._built = None

    def built(self) -> Engine:
        """The engine, built now if it was not yet."""
        if self._built is None:
            begun = time.monotonic()
            self._built = self.build()
            self.loading = time.monotonic() - begun
        return self._built

    def __enter__(self) -> LazyEngine:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()
