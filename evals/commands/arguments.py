"""The arguments of a command: one thing that needs no key, then key=value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pydantic import ValidationError

from rlvr.config import Section
from rlvr.mistakes import ConfigError, known_keys, of_error
from rlvr.recipe import parse_arguments

S = TypeVar("S", bound=Section)


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
