"""The arguments of commands: key=value, of which one may go without its key, or one names a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pydantic import ValidationError

from rlvr.config.errors import ConfigError, Mistake, known_keys, of_error
from rlvr.config.schema import Section
from rlvr.planning.recipe import complete_choice, parse_arguments
from rlvr.tasks import TASKS

S = TypeVar("S", bound=Section)


def read_with_task(section: type[S], arguments: Sequence[str], command: str) -> tuple[S, list[Mistake]]:
    """The settings of a command that names a task, whose defaults are filled in, and what is wrong with the
    task's own. Raises ConfigError for anything else that is wrong, with every mistake."""
    given = parse_arguments(arguments)
    mistakes: list[Mistake] = []
    if isinstance(given.get("task"), dict) and "name" in given["task"]:
        given["task"] = complete_choice(given["task"], "task", TASKS, mistakes)
    try:
        return section.model_validate(given), mistakes
    except ValidationError as error:
        known = list(known_keys(section))
        raise ConfigError(command, [of_error(e, known) for e in error.errors()] + mistakes) from None


def read_arguments(section: type[S], arguments: Sequence[str], command: str, positional: str) -> S:
    """The settings of a command. The first argument may stand without a key: it is `positional`'s value.

    A file whose name holds a = is given with its key. Raises ConfigError with every mistake.
    """
    first, rest = list(arguments[:1]), list(arguments[1:])
    if first and "=" not in first[0]:
        first = [f"{positional}={first[0]}"]
    try:
        return section.model_validate(parse_arguments([*first, *rest]))
    except ValidationError as error:
        known = list(known_keys(section))
        raise ConfigError(command, [of_error(e, known) for e in error.errors()]) from None
