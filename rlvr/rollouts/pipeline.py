"""Rollouts a fixed number of steps ahead of the update, so that engine and trainer work at the same time.

With `rollouts.ahead` = a the rollouts of step s are drawn, from the first token to the last, by the weights
after step s - 1 - a, or those that training began with. So what a run computes is a function of its
configuration and seed, however long anything takes: the engine takes new weights when nothing is being drawn.
Only drawing is in another thread. Requests are made, completions graded and rewards called in the main
thread; where whole groups are left out (dynamic sampling), whether more is drawn is known once all are
graded, so that is done, by the same weights, before the engine takes others.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from rlvr.core.process.background import Background
from rlvr.rollouts.collect import Collected, Group, Rollouts, Scored
from rlvr.rollouts.rounds import Begun
from rlvr.tasks.streams import Stream

if TYPE_CHECKING:
    from torch import Tensor

# Seconds that what is being drawn has to end when the run does; it ends with the next completion.
PATIENCE = 30.0


@dataclass(frozen=True)
class Dated:
    """A step's rollouts. weights: the step whose update made the weights that drew them."""

    step: int
    weights: int
    rollouts: Collected

    @property
    def staleness(self) -> int:
        """Steps that were trained between the weights that drew and those that are trained."""
        return self.step - 1 - self.weights


@dataclass(frozen=True)
class _UnderWay:
    """Rollouts that are being drawn, or wait to be graded."""

    begun: Begun
    weights: int


class Pipeline:
    """The rollouts of one step after the other, in time. steps: of the run, which draws none beyond."""

    def __init__(self, rollouts: Rollouts, stream: Stream, steps: int):
        self.rollouts = rollouts
        self.stream = stream
        self.steps = steps
        self.ahead = rollouts.config.ahead
        self.weights = 0  # the step whose update made those of the engine
        self.queue: deque[_UnderWay | Dated] = deque()  # for the steps to come, in their order
        self._last = 0  # the last step of the queue
        self._background = Background()

    def collect(self, step: int) -> Dated:
        """The step's rollouts; those of the next steps are begun first. On all ranks."""
        if not self.queue:
            self._begin(step)
        while self._last < min(step + self.ahead, self.steps):
            self._begin(self._last + 1)
        return self._graded(self.queue.popleft())

    def finish(self) -> None:
        """Waits until nothing is being drawn. On all ranks."""
        if self.rollouts.draws.keep is not None:
            self.grade()
        for one in self.queue:
            if isinstance(one, _UnderWay):
                one.begun.drawn()

    def grade(self) -> None:
        """Waits for what is being drawn and grades it. On all ranks."""
        for i, one in enumerate(self.queue):
            self.queue[i] = self._graded(one)

    def load(self, weights: Iterable[tuple[str, Tensor]], step: int) -> None:
        """Gives the engine the weights after the step. On all ranks."""
        self.finish()
        self.rollouts.engine.load(weights)
        self.weights = step

    def close(self) -> None:
        """Gives up what is being drawn."""
        self.rollouts.stopped.set()
        self._background.close(PATIENCE)

    def save(self, directory: Path, rank: int) -> None:
        """Writes what was drawn ahead, so that a resume need not have the weights that drew it. On all ranks,
        each its own."""
        if self.queue:
            told = _KEPT.dump_python([_bare(self._graded(one)) for one in self.queue], mode="json")
            _file(directory, rank).write_text(json.dumps(told))

    def restore(self, directory: Path, rank: int, step: int) -> None:
        """Takes over what `save` wrote after the step."""
        file = _file(directory, rank)
        kept = _KEPT.validate_python(json.loads(file.read_text())) if file.exists() else []
        self.queue = deque(_whole(one) for one in kept)
        self._last = step + len(self.queue)

    def _begin(self, step: int) -> None:
        if self.rollouts.draws.keep is not None:
            self.grade()  # how much is drawn, and where in the stream, depends on what was kept before
        if self.ahead:
            begun = self.rollouts.begin(self.stream, step, self._background.run)
        else:
            begun = self.rollouts.begin(self.stream, step)
        self.queue.append(_UnderWay(begun, self.weights))
        self._last = step

    def _graded(self, one: _UnderWay | Dated) -> Dated:
        if isinstance(one, Dated):
            return one
        return Dated(one.begun.step, one.weights, self.rollouts.finish(one.begun, self.stream))


@dataclass(frozen=True)
class _Kept:
    """Rollouts in a file: without what only the task knows of a problem, which nobody asks for once they are
    graded. used: positions of the groups that are trained on."""

    dated: Dated
    used: tuple[int, ...]


_KEPT: TypeAdapter[list[_Kept]] = TypeAdapter(list[_Kept])


def _bare(one: Dated) -> _Kept:
    rollouts = replace(one.rollouts, sampled=tuple(map(_bare_group, one.rollouts.sampled)), used=())
    return _Kept(replace(one, rollouts=rollouts), tuple(group.position for group in one.rollouts.used))


def _bare_group(group: Group) -> Group:
    return replace(
        group,
        problem=replace(group.problem, reference=None, columns={}),
        scored=tuple(map(_timeless, group.scored)),
        greedy=group.greedy and _timeless(group.greedy),
    )


def _timeless(scored: Scored) -> Scored:
    """Without the seconds that grading took, so that equal runs have equal checkpoints."""
    return replace(scored, verdict=replace(scored.verdict, seconds=0.0))


def _whole(kept: _Kept) -> Dated:
    rollouts = kept.dated.rollouts
    groups: dict[int, Group] = {group.position: group for group in rollouts.sampled}
    return replace(kept.dated, rollouts=replace(rollouts, used=tuple(groups[p] for p in kept.used)))


def has_saved(directory: Path) -> bool:
    """Whether some step's rollouts lie in a checkpoint's directory."""
    return _file(directory, 0).exists()


def _file(directory: Path, rank: int) -> Path:
    return directory / f"ahead-rank{rank}.json"
