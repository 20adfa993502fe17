"""Problem streams: which problem stands at a position of a run."""

from __future__ import annotations

import random
from collections.abc import Sequence

from rlvr.seeds import derive_seed
from rlvr.tasks import Problem, Task, TaskError


class Stream:
    """Problems without an end. `position`, and the training step that takes, are its whole state."""

    def __init__(self, seed: int, position: int = 0):
        self.seed = seed
        self.position = position
        self.step = 1

    def take(self, count: int) -> list[tuple[int, Problem]]:
        """The next `count` problems with their positions."""
        taken = [(p, self.at(p)) for p in range(self.position, self.position + count)]
        self.position += count
        return taken

    def at(self, position: int) -> Problem:
        raise NotImplementedError


class ProblemStream(Stream):
    """Endless passes over the problems, each in its own seeded order; the step does not matter."""

    def __init__(self, problems: Sequence[Problem], seed: int, position: int = 0):
        super().__init__(seed, position)
        if not problems:
            raise TaskError("the task has no training problems; it can only be probed")
        self.problems = problems
        self._order: tuple[int, list[int]] = (-1, [])

    def at(self, position: int) -> Problem:
        epoch, index = divmod(position, len(self.problems))
        if self._order[0] != epoch:
            order = list(range(len(self.problems)))
            random.Random(derive_seed(self.seed, "stream", epoch)).shuffle(order)
            self._order = (epoch, order)
        return self.problems[self._order[1][index]]


class MixtureStream(Stream):
    """The problems of a mixture, in the stage that the step lies in.

    Of as many positions as the weights of a stage add up to, each of its tasks has its weight, in a
    seeded order; a task's own problems go by in passes.
    """

    def __init__(self, task: Task, seed: int, position: int = 0):
        super().__init__(seed, position)
        self.stages = task.stages
        self.streams = {
            part.name: ProblemStream(part.train, derive_seed(seed, "mixture", part.name))
            for part in task.parts
        }

    def at(self, position: int) -> Problem:
        """The problem under an id with its task's name, its reference as the mixture's verifier needs it."""
        stage = next(s for s in self.stages if s.until is None or self.step <= s.until)
        slots = [share.task.name for share in stage.shares for _ in range(share.weight)]
        cycle, slot = divmod(position, len(slots))
        random.Random(derive_seed(self.seed, "mixture", cycle)).shuffle(slots)
        name = slots[slot]
        problem = self.streams[name].at(cycle * slots.count(name) + slots[:slot].count(name))
        return Problem(f"{name}/{problem.id}", problem.prompt, {"task": name, "reference": problem.reference})


def problem_stream(task: Task, seed: int) -> Stream:
    """The stream that a task is trained on."""
    return MixtureStream(task, seed) if task.stages else ProblemStream(task.train, seed)
