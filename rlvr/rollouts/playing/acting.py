"""Calls of environments: what they return is checked; what a user's own does to the process is put back."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from rlvr.core.errors import UserError
from rlvr.rollouts.calls import Forked, Raised, call_one
from rlvr.rollouts.deadline import Deadline, Overdue
from rlvr.tasks.environments import Environment, Transition

# Modules whose environments run as they are: each call is a few bounded steps of our own code.
OWN = "rlvr."


class EnvironmentFailure(UserError):
    """An environment did not do what it has to; the message says which, at which problem, and what it did."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What an environment did instead of answering."""

    what: str


def is_own(environment: Environment) -> bool:
    """Whether it runs as it is, in any thread."""
    called = (environment.begin, environment.act, environment.answer)
    return all(_is_own(function) for function in called if function is not None)


def _is_own(function: Callable[..., Any]) -> bool:
    return function.__module__.startswith(OWN)


def overlaps(environment: Environment) -> bool:
    """Whether its calls of act run in threads; a user's own are guarded, which only the main thread can."""
    return environment.at_once > 1 and environment.act.__module__.startswith(OWN)


def begun(environment: Environment, reference: Any) -> Any:
    """The state with which an episode begins, or a Failure."""
    return _called(environment, "begin", environment.begin, (reference,))


def acted(environment: Environment, state: Any, text: str) -> Transition | Failure:
    """What a turn led to."""
    found = _called(environment, "act", environment.act, (state, text))
    if isinstance(found, Failure):
        return found
    wrong = _wrong(found, environment)
    return Failure(f"act returned {wrong}") if wrong else found


def answered(environment: Environment, state: Any) -> str | Failure | None:
    """What the verifier is given of a final state; None: the text."""
    if environment.answer is None:
        return None
    found = _called(environment, "answer", environment.answer, (state,))
    if isinstance(found, str | Failure):
        return found
    return Failure(f"answer returned {type(found).__name__}, not a text")


def _wrong(found: Any, environment: Environment) -> str | None:
    """What is wrong with what `act` returned."""
    if not isinstance(found, Transition):
        return f"{type(found).__name__}, not a rlvr.tasks.environments.Transition"
    if not isinstance(found.observation, str | None):
        return f"an observation of type {type(found.observation).__name__}, not a text"
    if found.observation and len(found.observation) > environment.observation_characters:
        return (
            f"an observation of {len(found.observation)} characters, allowed are "
            f"{environment.observation_characters} (Environment.observation_characters)"
        )
    number = isinstance(found.reward, int | float) and math.isfinite(found.reward)
    return None if number else f"the reward {found.reward!r:.80}, not a finite number"


def _called(
    environment: Environment, name: str, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> Any:
    """What the function returned, or a Failure."""
    try:
        if _is_own(function):
            return function(*arguments)
        late = f"no answer in {environment.seconds:g} s (Environment.seconds)"
        deadline = Deadline(environment.seconds, lambda: f"{environment.version}, {name}: {late}")
        found = call_one(function, arguments, partial(_put_back, environment.version), deadline)
    except Overdue:
        return Failure(f"{name}: {late}")
    except Forked as error:
        return Failure(f"{name}: {error}")
    except Exception as error:  # of our own
        found = Raised.of(error)
    return Failure(f"{name} raised {found.text}") if isinstance(found, Raised) else found


def _put_back(version: str, piece: str) -> None:
    warnings.warn(
        f"environment {version} changed {piece} of the training process: it was put back", stacklevel=2
    )
