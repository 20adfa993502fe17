"""Tasks: a name -> problems and the verifier that decides them, for training and evaluation alike.

A task is built by the function named in `TASKS`; that function's keyword arguments are the task's
configuration keys. A name may carry a variant after a colon (`countdown:4`), which is passed on as
the keyword argument `variant`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rlvr.config import registry
from rlvr.config.registry import PluginError
from rlvr.core.errors import UserError
from rlvr.core.versions import source_version
from rlvr.graders import Verdict, Verifier
from rlvr.graders.soundness import NONE, Chain, Checker, build_checker, checked
from rlvr.graders.soundness.marks import marked
from rlvr.tasks.environments import Environment
from rlvr.tasks.templates import STOPS, TEMPLATES, stamp

if TYPE_CHECKING:
    from rlvr.tasks.templates.chat import Chat

# name -> module:function that builds it
TASKS = {
    "countdown": "rlvr.tasks.countdown:countdown",
    "chain": "rlvr.tasks.chain:chain",
    "calculator": "rlvr.tasks.environments.calculator:calculator",
    "guess": "rlvr.tasks.environments.guess:guess",
    "countdown_feedback": "rlvr.tasks.environments.countdown_feedback:countdown_feedback",
    "grid": "rlvr.tasks.environments.grid:grid",
    "python": "rlvr.tasks.environments.python:python",
    "gsm8k": "rlvr.tasks.math:gsm8k",
    "math500": "rlvr.tasks.math:math500",
    "minerva_math": "rlvr.tasks.math:minerva_math",
    "olympiadbench": "rlvr.tasks.math:olympiadbench",
    "aime24": "rlvr.tasks.math:aime24",
    "amc23": "rlvr.tasks.math:amc23",
    "omni_math_rule": "rlvr.tasks.math:omni_math_rule",
    "humaneval_plus": "rlvr.tasks.programs.evalplus:humaneval_plus",
    "mbpp_plus": "rlvr.tasks.programs.evalplus:mbpp_plus",
    "livecodebench": "rlvr.tasks.programs.livecodebench:livecodebench",
    "reasoning_gym": "rlvr.tasks.reasoning_gym:reasoning_gym",
    "data": "rlvr.tasks.data.task:data",
    "mixture": "rlvr.tasks.mixture:mixture",
}


class TaskError(UserError):
    """A task's data cannot be used; the message names file, row and column."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem: `prompt` is the text the model continues, `reference` what the verifier needs.

    question: the prompt without its template, where that is known. columns: the row that it came from.
    chat: the prompt is of the tokenizer's chat template, which writes every special token itself.
    """

    id: str
    prompt: str
    reference: Any
    question: str = field(default="", compare=False)
    columns: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    chat: bool = False


class GeneratedProblems(Sequence[Problem]):
    """Problems that are made when asked for, too many to list. identity: all that they depend on."""

    identity: str


@dataclass(frozen=True)
class Task:
    """Problems and the one verifier that decides them.

    train, test: disjoint problem sets; training draws from the first, the probe from the second.
    template: a name stamped on every result, as `grader` is, since numbers compare only within one.
    skipped: bad rows of the data that were left out, where the configuration allows it.
    stages: of a mixture, which tasks it draws from and when; it has no problems of its own.
    chat: how prompts are posed once the tokenizer is known, see `rlvr.tasks.templates.chat.posed`.
    stop: strings that end a completion where the configuration names none; None: those of the template.
    notes: what whoever uses the task should read, such as which columns were guessed.
    checker: decides whether the reasoning before an answer holds; None: nobody looks.
    environment: what answers the policy between its turns; None: a completion is one turn.
    name_given, built_with: the name and options of `build_task`, by which it can be built otherwise; None of
    a task that was built by hand.
    """

    name: str
    train: Sequence[Problem]
    test: Sequence[Problem]
    verifier: Verifier
    template: str = ""
    skipped: int = 0
    stages: tuple[Stage, ...] = ()
    chat: Chat | None = None
    stop: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    checker: Checker | None = None
    environment: Environment | None = None
    name_given: str | None = field(default=None, compare=False, repr=False)
    built_with: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def ends(self) -> tuple[str, ...]:
        """Strings that end a completion, or a turn, where the configuration names none."""
        if self.environment is not None:
            return self.environment.stop
        return STOPS.get(self.template, ()) if self.stop is None else self.stop

    def ends_of(self, problem: Problem) -> tuple[str, ...]:
        """The same of a problem of this task, or of the task of a mixture that it is of."""
        if not self.stages:
            return self.ends
        return next(part.ends for part in self.parts if part.name == problem.reference["task"])

    def environment_of(self, problem: Problem) -> tuple[Environment | None, Any]:
        """What answers the policy at this problem, if anything does, and what its episodes begin with."""
        if not self.stages:
            return self.environment, problem.reference
        part = next(part for part in self.parts if part.name == problem.reference["task"])
        return part.environment, problem.reference["reference"]

    def in_one_turn(self, command: str) -> Task:
        """The task itself. command: for the message of the TaskError where it has an environment."""
        if self.environment is not None:
            raise TaskError(f"{command} knows completions of one turn, and task {self.name} is of episodes")
        return self

    @property
    def grader(self) -> str:
        """Which verdicts these are: numbers compare only within one."""
        return self.verifier.version

    @property
    def soundness(self) -> str | None:
        """Which checker looked at the reasoning."""
        return None if self.checker is None else self.checker.version

    @property
    def parts(self) -> tuple[Task, ...]:
        """The tasks that problems come from: itself, or those of a mixture, each once."""
        found = {share.task.name: share.task for stage in self.stages for share in stage.shares}
        return tuple(found.values()) or (self,)

    def grade(
        self, items: Sequence[tuple[str, Any]], prompts: Sequence[str] = (), by_step: bool = False
    ) -> list[Verdict]:
        """The verdict on each (completion, reference), with what the checker says. prompts: what they
        continue, for checkers that read it. by_step: with the marks of each step. Raises CheckerError,
        EndpointError."""
        verdicts = self.verifier.grade(items)
        if self.checker is None:
            return verdicts
        posed = prompts or [""] * len(items)
        chains = [
            Chain(*item, prompt, v.correct) for item, prompt, v in zip(items, posed, verdicts, strict=True)
        ]
        verdicts = [replace(v, sound=s) for v, s in zip(verdicts, self.sound(chains), strict=True)]
        if not by_step:
            return verdicts
        marks = marked(self.checker, items, self.name)
        return [replace(v, marks=own) for v, own in zip(verdicts, marks, strict=True)]

    def sound(self, chains: Sequence[Chain | tuple[str, Any]]) -> list[bool | None]:
        """Whether the reasoning in each holds; None where nobody looks. Raises as `grade`."""
        return checked(self.checker, chains, self.name) if self.checker else [None] * len(chains)

    def data_hash(self) -> str:
        """Hash of both splits, in order: 16 hex digits."""
        rows: list[Any] = []
        for split in (split for part in self.parts for split in (part.train, part.test)):
            if isinstance(split, GeneratedProblems):
                rows.append(split.identity)
            else:
                rows += [[p.id, p.prompt, p.reference] for p in split]
        return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Share:
    """A task in a mixture; `weight` of its problems are drawn for so many of the others."""

    task: Task
    weight: int


@dataclass(frozen=True, slots=True)
class Stage:
    """What a mixture draws from up to and with training step `until`; None: to the end."""

    until: int | None
    shares: tuple[Share, ...]


def build_task(name: str, **options: Any) -> Task:
    """The named task; options are its builder's keyword arguments.

    name: of `TASKS`, or "package.module:function" of a builder of the user's own, whose source is the
    task's template version unless it states one. Raises TaskError if its data is unfit, PluginError.
    """
    task = registry.build(TASKS, name, options)
    if not isinstance(task, Task):
        raise PluginError(f"{name} returned {type(task).__name__}; it has to return rlvr.tasks.Task")
    task = replace(task, name_given=name, built_with={**registry.defaults(TASKS, name), **options})
    if not registry.is_plugin(TASKS, name):
        if task.template not in TEMPLATES:
            return task
        return replace(task, template=stamp(task.template), stop=task.ends)
    version = source_version(registry.load(name))
    return task if task.template else replace(task, template=version)


def build_checker_of(name: str) -> Checker | None:
    """The checker that a built-in task has by default; None without one. Raises KeyError, PluginError."""
    if registry.is_plugin(TASKS, name):
        raise KeyError(name)
    return build_checker(str(registry.defaults(TASKS, name).get("soundness", NONE)))
