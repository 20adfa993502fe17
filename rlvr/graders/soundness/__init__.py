"""Checkers of the chain that leads to an answer: text and reference -> sound, unsound, or undecided.

Apart from verifiers: an answer can be right for a wrong reason. A checker is chosen by name, as
`task.soundness`, or is a plug-in, "package.module:function", a builder of the user's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, BeforeValidator, ValidationError
from pydantic_core import PydanticCustomError

from rlvr.config import registry
from rlvr.config.errors import nearest, of_error
from rlvr.config.registry import PluginError
from rlvr.core.errors import UserError
from rlvr.core.versions import source_version
from rlvr.graders.soundness.judge import NAME as JUDGE
from rlvr.graders.soundness.judge import Chain, Judge, JudgeSettings

# name -> module:function that builds the checker; without a checker nobody looks at the chain
NONE = "none"
# The key, as messages name it.
JUDGED = "soundness"
CHECKERS = {
    "steps": "rlvr.graders.soundness.steps:steps",
    "arithmetic": "rlvr.graders.soundness.arithmetic:arithmetic",
}


class CheckerError(UserError):
    """A checker failed on a chain; the message names task, checker and text."""


class Checker(Protocol):
    """Decides whether the reasoning in a completion holds.

    True: sound. False: a step is wrong. None: nothing in it can be checked, or it is not certain.

    One that needs more than completion and reference has a method `check_chains` of `Chain`s, called in the
    place of `check`. One that is dear has `of_right_answers = True`: wrong answers are not put to it.
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
        return self.check_chains([Chain(*item) for item in items])

    def check_chains(self, chains: Sequence[Chain]) -> list[bool | None]:
        found: list[bool | None] = [None] * len(chains)
        for name, checker in self.checkers.items():
            own = [i for i, chain in enumerate(chains) if chain.reference["task"] == name]
            inner = [chains[i]._replace(reference=chains[i].reference["reference"]) for i in own]
            for i, sound in zip(own, _called(checker, inner), strict=True):
                found[i] = sound
        return found


def _known(name: str) -> str:
    if name == NONE or name in CHECKERS or registry.is_plugin(CHECKERS, name):
        return name
    if name == JUDGE:
        advice = "a judge needs its server and its model: give soundness.url=... and soundness.model=... too"
    else:
        advice = nearest(name, [*CHECKERS, JUDGE, NONE], "is a checker")
    raise PydanticCustomError("checker", "{advice}", {"advice": advice})


def _judge(value: Any) -> Any:
    """Settings of a judge as such; a mapping of a name alone as that name."""
    if not isinstance(value, Mapping):
        return value
    if {*value} == {"name"} and value["name"] != JUDGE:
        return value["name"]
    try:
        return JudgeSettings.model_validate(dict(value))
    except ValidationError as error:
        known = [f"{JUDGED}.{key}" for key in JudgeSettings.model_fields]
        said = [str(of_error(e, known, f"{JUDGED}.")).split("\n") for e in error.errors()]
        advice = "; ".join(f"{key.strip()}: {what.strip()}" for key, what in said)
        raise PydanticCustomError("checker", "{advice}", {"advice": advice}) from None


# Of a task's key `soundness`: a name, or {name: judge, url: ..., model: ...}.
SoundnessName = Annotated[Annotated[str, AfterValidator(_known)] | JudgeSettings, BeforeValidator(_judge)]


def build_checker(name: str | JudgeSettings) -> Checker | None:
    """The named checker; None for `none`. Raises PluginError where a plug-in fails, JudgeError."""
    if isinstance(name, JudgeSettings):
        return Judge(name)
    if name == NONE:
        return None
    checker = registry.build(CHECKERS, name, {})
    if not (hasattr(checker, "version") and hasattr(checker, "check")):
        made = type(checker).__name__
        raise PluginError(f"{name} returned {made}; it has to return rlvr.graders.soundness.Checker")
    return checker


def looks_at(checker: Checker | None, right: bool) -> bool:
    """Whether a completion whose answer is right, or is not, is put to the checker."""
    return checker is not None and (right or not getattr(checker, "of_right_answers", False))


def checked(checker: Checker, items: Sequence[Chain | tuple[str, Any]], task: str) -> list[bool | None]:
    """The checker's decisions on chains, or on (completion, reference). task: for the message.

    Raises CheckerError where it raises, with the first text on which it does, and where it decides something
    else than it may; a UserError of its own, such as of a judge that is not there, as it is.
    """
    chains = [Chain(*item) for item in items]
    try:
        found = _called(checker, chains)
    except UserError:
        raise
    except Exception as error:  # a checker may be the user's
        raise _failed(checker, chains, task, error) from error
    if len(found) != len(chains) or not all(sound in (True, False, None) for sound in found):
        raise CheckerError(
            f"task {task}: the checker {checker.version} has to give True, False or None for each of "
            f"{len(chains)} chains; it gave {found!r:.200}"
        )
    return found


def _called(checker: Checker, chains: Sequence[Chain]) -> list[bool | None]:
    if whole := getattr(checker, "check_chains", None):
        return whole(chains)
    return checker.check([(chain.completion, chain.reference) for chain in chains])


def _failed(checker: Checker, chains: Sequence[Chain], task: str, error: Exception) -> CheckerError:
    culprit = next((chain for chain in chains if _raises(checker, chain)), chains[0])
    return CheckerError(
        f"task {task}: the checker {checker.version} failed: {registry.located(error)}. The completion is "
        f"{culprit.completion!r:.300}, its reference {culprit.reference!r:.200}"
    )


def _raises(checker: Checker, chain: Chain) -> bool:
    try:
        _called(checker, [chain])
    except Exception:
        return True
    return False
