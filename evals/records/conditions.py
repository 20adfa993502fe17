"""What two measurements must share before their numbers may be compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from rlvr.core.errors import UserError
from rlvr.engines import Sampling
from rlvr.tasks import Problem, Task


class ConditionsError(UserError):
    """Two measurements cannot be compared; the message says in what they differ."""

    status = 2


@dataclass(frozen=True)
class Conditions:
    """How a task was posed, sampled and graded. data: hash of the problems that were asked. environment: what
    answered between turns, with its limits; empty where nothing did."""

    task: str
    data: str
    template: str
    grader: str
    temperature: float
    top_p: float
    max_new_tokens: int
    stop: tuple[str, ...] = ()
    environment: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop", tuple(self.stop))  # JSON has a list

    def described(self) -> dict[str, Any]:
        """Its fields, without `stop` and `environment` where there are none, as files had them before there
        were any."""
        later = ("stop", "environment")
        return {name: value for name, value in asdict(self).items() if name not in later or value}


def conditions(task: Task, problems: Sequence[Problem], sampling: Sampling) -> Conditions:
    """Of a measurement of these of the task's problems."""
    rows = [[p.id, p.prompt, p.reference] for p in problems]
    data = hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()[:16]
    made = Conditions(task.name, data, task.template, task.grader, **sampling.described())
    return made if task.environment is None else replace(made, environment=task.environment.described)


def check_comparable(base: Conditions, policy: Conditions) -> None:
    """Raises ConditionsError with every field that differs."""
    if found := differences(base, policy):
        raise ConditionsError(f"base and policy cannot be compared: {'; '.join(found)}")


def differences(one: Conditions, other: Conditions) -> list[str]:
    """'template: plain / boxed' for every field that differs."""
    pairs = [(f.name, getattr(one, f.name), getattr(other, f.name)) for f in fields(Conditions)]
    return [f"{name}: {a} / {b}" for name, a, b in pairs if a != b]
