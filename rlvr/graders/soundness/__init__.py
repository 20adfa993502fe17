"""Checkers of the chain that leads to an answer: text and reference -> sound, unsound, or undecided.

Apart from verifiers: an answer can be right for a wrong reason. A checker is chosen by name, as
`task.soundness`, or is a plug-in, "package.module:function", a builder of the user's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from rlvr.config import registry
from rlvr.config.errors import nearest
from rlvr.config.registry import PluginError
from rlvr.core.errors import UserError
from rlvr.core.versions import source_version

# name -> module:function that builds the checker; without a checker nobody looks at the chain
NONE = "none"
CHECKERS = {
    "steps": "rlvr.graders.soundness.steps:steps",
    "arithmetic": "rlvr.graders.soundness.arithmetic:arithmetic",
    "chain": "rlvr.graders.soundness.chain:chain",
}


class CheckerError(UserError):
    """A checker failed on a chain; the message names task, checker and text."""


class Checker(Protocol):
    """Decides whether the reasoning in a completion holds.

    True: sound. False: a step is wrong. None: nothing in it can be checked, or it is not certain.
    """

    @property
    def version(self) -> str:
        """Its name and version, such as steps-1; changes whenever a decision could."""
        ...

    def check(self, items: Sequence[tuple[str, Any]]) -> list[bool | None]:
        """The decision on each (completion, reference), in order."""
        ...


@dataclass(frozen=True)
class StringChecker:
    """A checker made of string code that is safe to run in the calling process.

    decide: (completion, reference) -> True, False or None. version: by default a hash of the source that
    `decide` stands in. Equal items are decided once a call: most samples of a policy are duplicates.
    """

    decide: Callable[[str, Any], bool | None]
    version: str = ""

    def __post_init__(self) -> None:
        if not self.version:
            object.__setattr__(self, "version", source_version(self.decide))

    def check(self, items: Sequence[tuple[str, Any]]) -> list[bool | None]:
        known: dict[tuple[str, str], bool | None] = {}
        found = []
        for completion, reference in items:
            key = (completion, repr(reference))
            if key not in known:
                known[key] = self.decide(completion, reference)
            found.append(known[key])
        return found


@dataclass(frozen=True)
class MixtureChecker:
    """Of a mixture of tasks: each task's own checks its problems; those of others stay undecided.

    checkers: by task name. A reference is {"task": name, "reference": the task's own}.
    """

    checkers: Mapping[str, Checker]

    @property
    def version(self) -> str:
        return "+".join(sorted({checker.version for checker in self.checkers.values()}))

    def check(self, items: Sequence[tuple[str, Mapping[str, Any]]]) -> list[bool | None]:
        found: list[bool | None] = [None] * len(items)
        for name, checker in self.checkers.items():
            own = [i for i, (_, reference) in enumerate(items) if reference["task"] == name]
            decided = checker.check([(items[i][0], items[i][1]["reference"]) for i in own])
            for i, sound in zip(own, decided, strict=True):
                found[i] = sound
        return found


def _known(name: str) -> str:
    if name == NONE or name in CHECKERS or registry.is_plugin(CHECKERS, name):
        return name
    advice = nearest(name, [*CHECKERS, NONE], "is a checker")
    raise PydanticCustomError("checker", "{advice}", {"advice": advice})


# Of a task's key `soundness`.
SoundnessName = Annotated[str, AfterValidator(_known)]


def build_checker(name: str) -> Checker | None:
    """The named checker; None for `none`. Raises PluginError where a plug-in fails."""
    if name == NONE:
        return None
    checker = registry.build(CHECKERS, name, {})
    if not (hasattr(checker, "version") and hasattr(checker, "check")):
        made = type(checker).__name__
        raise PluginError(f"{name} returned {made}; it has to return rlvr.graders.soundness.Checker")
    return checker


def checked(checker: Checker, items: Sequence[tuple[str, Any]], task: str) -> list[bool | None]:
    """The checker's decisions. task: for the message. Raises CheckerError where it raises, with the
    first text on which it does, and where it decides something else than it may."""
    try:
        found = checker.check(items)
    except Exception as error:  # a checker may be the user's
        raise _failed(checker, items, task, error) from error
    if len(found) != len(items) or not all(sound in (True, False, None) for sound in found):
        raise CheckerError(
            f"task {task}: the checker {checker.version} has to give True, False or None for each of "
            f"{len(items)} chains; it gave {found!r:.200}"
        )
    return found


def _failed(checker: Checker, items: Sequence[tuple[str, Any]], task: str, error: Exception) -> CheckerError:
    culprit = next((item for item in items if _raises(checker, item)), items[0])
    return CheckerError(
        f"task {task}: the checker {checker.version} failed: {registry.located(error)}. The completion is "
        f"{culprit[0]!r:.300}, its reference {culprit[1]!r:.200}"
    )


def _raises(checker: Checker, item: tuple[str, Any]) -> bool:
    try:
        checker.check([item])
    except Exception:
        return True
    return False
