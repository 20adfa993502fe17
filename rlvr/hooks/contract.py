"""What a checkpoint hook is told, and what it reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from rlvr.engines import Engine


@dataclass(frozen=True)
class CheckpointEvent:
    """What a checkpoint hook is told. The engine holds the weights that lie in `policy`.

    step: training steps, each of one batch of rollouts, so far; 0 is before training, when `policy` is the
    model that it starts from.
    samples: completions drawn for training so far. last: whether training ends here.
    """

    step: int
    samples: int
    policy: Path
    engine: Engine
    last: bool


@dataclass(frozen=True)
class Table:
    """Rows to look at: text, numbers or None, one for each column."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]


@dataclass(frozen=True)
class Curves:
    """Lines in one chart. lines: name -> (xs, ys), equally many of both."""

    title: str
    x: str
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]]


@dataclass(frozen=True)
class HookReport:
    """What a checkpoint hook found. All but `stop` is for dashboards, and may be empty except on rank 0.

    metrics: numbers to be drawn over steps. summary: the run's own numbers from now on, to sort runs by;
    None: not known any more. tables: each made when it is read, if at all, in another thread. files: paths
    below the run directory.
    stop: why training should end here, if it should, the same on all ranks; a hook is then called once
    more, with `last`.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    summary: Mapping[str, float | None] = field(default_factory=dict)
    tables: Mapping[str, Callable[[], Table]] = field(default_factory=dict)
    curves: Mapping[str, Curves] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    stop: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing for dashboards."""
        return replace(self, stop=None) == HookReport()


class CheckpointHook(Protocol):
    """Called before the first step and after every committed checkpoint, on all ranks. What it takes is
    shown as time/<its module>.

    Called again for the same step after a resume, it does only what is missing.
    """

    def __call__(self, event: CheckpointEvent) -> HookReport: ...
