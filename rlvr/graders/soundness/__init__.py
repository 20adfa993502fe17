"""Checkers of the chain that leads to an answer: text and reference -> sound, unsound, or undecided.

Apart from verifiers: an answer can be right for a wrong reason. A checker is chosen by name, as
`task.soundness`, or is a plug-in, "package.module:function", a builder of the user's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Protocol, TypeVar, runtime_checkable

from pydantic import AfterValidator, BeforeValidator, ValidationError
from pydantic_core import PydanticCustomError

from rlvr.config import registry
from rlvr.config.errors import nearest, of_error
from rlvr.config.registry import PluginError
from rlvr.core.errors import UserError
from rlvr.core.versions import source_version
from rlvr.graders import Mark
from rlvr.graders.soundness.judge import NAME as JUDGE
from rlvr.graders.soundness.judge import Chain, Judge, JudgeSettings

# name -> module:function that builds the checker; without a checker nobody looks at the chain
NONE = "none"
# The key, as messages name it.
JUDGED = "soundness"
CHECKERS = {
    "steps": "rlvr.graders.soundness.steps:steps",
    "arithmetic": "rlvr.graders.soundness.arithmetic:arithmetic",
    "chain": "rlvr.graders.soundness.chain:chain",
}

T = TypeVar("T")
# A Chain, or (completion, reference)
Item = TypeVar("Item", bound=tuple[Any, ...])
# (completion, reference) of each
Items = Sequence[tuple[str, Any]]


class CheckerError(UserError):
    """A checker failed on a chain; the message names task, checker and text."""


class Checker(Protocol):
    """Decides whether the reasoning in a completion holds.

    True: sound. False: a step is wrong. None: nothing in it can be checked, or it is not certain.
    One that also says which step is wrong is a `Marker`. One that needs more than completion and reference
    has a method `check_chains` of `Chain`s, called in the place of `check`. One that is dear has
    `of_right_answers = True`: wrong answers are not put to it.
    """

    @property
    def version(self) -> str:
        """Its name and version, such as steps-1; changes whenever a decision could."""
        ...

    def check(self, items: Sequence[tuple[str, Any]]) -> list[bool | None]:
        """The decision on each (completion, reference), in order."""
        ...


@runtime_checkable
class Marker(Protocol):
    """What a checker also is that can mark the steps of a completion; see `rlvr.graders.soundness.marks`."""

    def marks(self, items: Sequence[tuple[str, Any]]) -> list[tuple[Mark, ...]]:
        """The marks of each (completion, reference), in order; none for a step that it cannot decide on."""
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
        return _once(self.decide, items)


@dataclass(frozen=True)
class StringMarker(StringChecker):
    """A `StringChecker` that also marks steps. mark: (completion, reference) -> those it can decide on."""

    mark: Callable[[str, Any], Sequence[Mark]] = field(kw_only=True)

    def marks(self, items: Sequence[tuple[str, Any]]) -> list[tuple[Mark, ...]]:
        return _once(lambda completion, reference: tuple(self.mark(completion, reference)), items)


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
        return self._each(chains, _called, None)

    def marks(self, items: Sequence[tuple[str, Mapping[str, Any]]]) -> list[tuple[Mark, ...]]:
        def of_one(checker: Checker, own: Sequence[Chain]) -> Sequence[tuple[Mark, ...]]:
            if not isinstance(checker, Marker):
                return [()] * len(own)
            return checker.marks([(chain.completion, chain.reference) for chain in own])

        return self._each([Chain(*item) for item in items], of_one, ())

    def _each(
        self, chains: Sequence[Chain], ask: Callable[[Checker, Sequence[Chain]], Sequence[T]], otherwise: T
    ) -> list[T]:
        """What `ask` gives of each task's own chains, in order; `otherwise` of those without a checker."""
        found = [otherwise] * len(chains)
        for name, checker in self.checkers.items():
            own = [i for i, chain in enumerate(chains) if chain.reference["task"] == name]
            inner = [chains[i]._replace(reference=chains[i].reference["reference"]) for i in own]
            for i, value in zip(own, ask(checker, inner), strict=True):
                found[i] = value
        return found


def _once(decide: Callable[[str, Any], T], items: Sequence[tuple[str, Any]]) -> list[T]:
    """What is decided on each item, in order; on equal items once."""
    known: dict[tuple[str, str], T] = {}
    found = []
    for completion, reference in items:
        key = (completion, repr(reference))
        if key not in known:
            known[key] = decide(completion, reference)
        found.append(known[key])
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


def checked(checker: Checker, items: Sequence[Chain | tuple[str, Any]], task: str) -> list[bool | None]:
    """The checker's decisions on chains, or on (completion, reference). task: for the message.

    A chain that must not be put to the checker (`of_right_answers`) is undecided.
    Raises as `guarded`, and CheckerError where it decides something else than it may.
    """
    everything = [Chain(*item) for item in items]
    only_right = getattr(checker, "of_right_answers", False)
    places = [i for i, chain in enumerate(everything) if chain.right or not only_right]
    chains = [everything[i] for i in places]
    found = guarded(checker, partial(_called, checker), chains, task)
    if len(found) != len(chains) or not all(sound in (True, False, None) for sound in found):
        raise CheckerError(
            f"task {task}: the checker {checker.version} has to give True, False or None for each of "
            f"{len(chains)} chains; it gave {found!r:.200}"
        )
    decisions: list[bool | None] = [None] * len(everything)
    for i, sound in zip(places, found, strict=True):
        decisions[i] = sound
    return decisions


def _called(checker: Checker, chains: Sequence[Chain]) -> list[bool | None]:
    if whole := getattr(checker, "check_chains", None):
        return whole(chains)
    return checker.check([(chain.completion, chain.reference) for chain in chains])


def guarded(
    checker: Checker, ask: Callable[[Sequence[Item]], list[T]], items: Sequence[Item], task: str
) -> list[T]:
    """What the checker gives of the items when it is asked so.

    Raises CheckerError where it raises, with the first text on which it does; a UserError of its own, such as
    of a judge that is not there, as it is.
    """
    try:
        return ask(items)
    except UserError:
        raise
    except Exception as error:  # a checker may be the user's
        raise _failed(checker, ask, items, task, error) from error


def _failed(
    checker: Checker,
    ask: Callable[[Sequence[Item]], list[T]],
    items: Sequence[Item],
    task: str,
    error: Exception,
) -> CheckerError:
    culprit = next((item for item in items if _raises(ask, item)), items[0])
    return CheckerError(
        f"task {task}: the checker {checker.version} failed: {registry.located(error)}. The completion is "
        f"{culprit[0]!r:.300}, its reference {culprit[1]!r:.200}"
    )


def _raises(ask: Callable[[Sequence[Item]], Any], item: Item) -> bool:
    try:
        ask([item])
    except Exception:
        return True
    return False
