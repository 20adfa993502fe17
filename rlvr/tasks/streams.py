"""Problem streams: which problem stands at a position of a run."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace

from rlvr.core.seeds import derive_seed
from rlvr.tasks import GeneratedProblems, Problem, Task, TaskError


class Stream(ABC):
    """Problems without an end. step: the training step that takes."""

    def __init__(self, seed: int):
        self.seed = seed
        self.position = 0
        self.step = 1

    def take(self, count: int) -> list[tuple[int, Problem]]:
        """The next `count` problems with their positions."""
        taken = []
        for _ in range(count):
            taken.append((self.position, self.following()))
            self.position += 1
        return taken

    @abstractmethod
    def following(self) -> Problem:
        """The problem at the position."""

    def state(self) -> dict[str, int]:
        """What `restore` needs to go on from here, beside the step."""
        return {"position": self.position}

    def restore(self, state: Mapping[str, int]) -> None:
        self.position = state["position"]


class ProblemStream(Stream):
    """Endless passes over the problems, each in its own seeded order; the step does not matter."""

    def __init__(self, problems: Sequence[Problem], seed: int):
        super().__init__(seed)
        if not problems:
            raise TaskError("the task has no training problems; it can only be probed")
        self.problems = problems
        self._order: tuple[int, list[int]] = (-1, [])

    def following(self) -> Problem:
        epoch, index = divmod(self.position, len(self.problems))
        if self._order[0] != epoch:
            order = list(range(len(self.problems)))
            random.Random(derive_seed(self.seed, "stream", epoch)).shuffle(order)
            self._order = (epoch, order)
        return self.problems[self._order[1][index]]


class MixtureStream(Stream):
    """The problems of a mixture, in the stage that the step lies in.

    Of as many positions as the weights of a stage add up to, each of its tasks has its weight, in a
    seeded order; a task's own problems go by in passes, whatever the stages are.
    """

    def __init__(self, task: Task, seed: int):
        super().__init__(seed)
        self.stages = task.stages
        self.streams = {
            part.name: ProblemStream(part.train, derive_seed(seed, "mixture", part.name))
            for part in task.parts
        }

    def following(self) -> Problem:
        """The problem under an id with its task's name, its reference as the mixture's verifier needs it."""
        stage = next(s for s in self.stages if s.until is None or self.step <= s.until)
        slots = [share.task.name for share in stage.shares for _ in range(share.weight)]
        cycle, slot = divmod(self.position, len(slots))
        random.Random(derive_seed(self.seed, "mixture", cycle)).shuffle(slots)
        name = slots[slot]
        ((_, problem),) = self.streams[name].take(1)
        reference = {"task": name, "reference": problem.reference}
        return replace(problem, id=f"{name}/{problem.id}", reference=reference)

    def state(self) -> dict[str, int]:
        """Also each task's own position, which earlier stages moved on."""
        return super().state() | {name: stream.position for name, stream in self.streams.items()}

    def restore(self, state: Mapping[str, int]) -> None:
        super().restore(state)
        for name, stream in self.streams.items():
            stream.position = state[name]


def problem_stream(task: Task, seed: int) -> Stream:
    """The stream that a task is trained on."""
    return MixtureStream(task, seed) if task.stages else ProblemStream(task.train, seed)


def shuffled(task: Task, seed: int) -> Task:
    """The task with every training problem's reference in the place of another's.

    Raises TaskError where that has no meaning: problems without end, a mixture, episodes, a single problem.
    """
    problems = task.train
    if task.stages or task.environment or isinstance(problems, GeneratedProblems) or len(problems) < 2:
        raise TaskError(
            f"rewards.control=shuffled needs a list of training problems of one task without episodes, and "
            f"task {task.name} has none: give rewards.control=random, format or wrong_answer"
        )
    order = list(range(len(problems)))
    random.Random(derive_seed(seed, "shuffled references")).shuffle(order)
    after = dict(zip(order, [*order[1:], order[0]], strict=True))  # one circle: none keeps its own
    train = [replace(p, reference=problems[after[i]].reference) for i, p in enumerate(problems)]
    return replace(task, train=train)
