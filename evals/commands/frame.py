"""What all commands do alike: arguments of the form key=value, all mistakes at once, and the exit status."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, ValidationError
from pydantic_core import PydanticCustomError

from rlvr.config.errors import ArgumentsError, Mistake, known_keys, of_error
from rlvr.config.schema import Section
from rlvr.core.errors import exit_status
from rlvr.planning.recipe import complete_choice, parse_arguments
from rlvr.tasks import TASKS

GOES_ON = "interrupted: the same command resumes where it stopped"


def _existing_file(path: Path) -> Path:
    if not path.is_file():
        raise PydanticCustomError("path", "there is no such file")
    return path


def _existing_directory(path: Path) -> Path:
    if not path.is_dir():
        raise PydanticCustomError("path", "there is no such directory")
    return path


def _new_file(path: Path) -> Path:
    if path.is_dir():
        raise PydanticCustomError("path", "is a directory; give a file")
    return _in_a_directory(path)


def _new_directory(path: Path) -> Path:
    if path.exists() and not path.is_dir():
        raise PydanticCustomError("path", "is a file; give a directory")
    return path


def _in_a_directory(path: Path) -> Path:
    if not path.parent.is_dir():
        raise PydanticCustomError("path", "there is no directory {parent}", {"parent": str(path.parent)})
    return path


# What is read, and what is written: a directory that may be there already, as must a subdirectory's parent.
InFile = Annotated[Path, AfterValidator(_existing_file)]
InDirectory = Annotated[Path, AfterValidator(_existing_directory)]
OutFile = Annotated[Path, AfterValidator(_new_file)]
OutDirectory = Annotated[Path, AfterValidator(_new_directory)]
OutSubdirectory = Annotated[OutDirectory, AfterValidator(_in_a_directory)]

S = TypeVar("S", bound=Section)
Main = Callable[[Sequence[str]], int]


def command(
    section: type[S],
    check: Callable[[S], Sequence[Mistake]] = lambda settings: (),
    *,
    positional: str = "",
    builds_task: bool = False,
    interrupted: str = "interrupted",
) -> Callable[[Callable[[S], int | None]], Main]:
    """Makes the `main` of a command from a function of its settings.

    check: what is wrong with settings that are valid one by one. positional, builds_task: see
    `read_settings`. interrupted: what Ctrl-C is answered with.
    """

    def decorate(run: Callable[[S], int | None]) -> Main:
        name = run.__module__.rpartition(".")[2].replace("_", "-")

        def main(arguments: Sequence[str]) -> int:
            def work() -> int | None:
                return run(read_settings(section, arguments, name, check, positional, builds_task))

            return exit_status(work, interrupted)

        return main

    return decorate


def read_settings(
    section: type[S],
    arguments: Sequence[str],
    command: str,
    check: Callable[[S], Sequence[Mistake]],
    positional: str = "",
    builds_task: bool = False,
) -> S:
    """The settings of a command. Raises ArgumentsError with every mistake.

    positional: the key that stands for arguments without one; if it holds several, a path that exists
    needs no key either, whatever its name. builds_task: fill in the defaults of `task`, and check its keys.
    """
    mistakes: list[Mistake] = []
    given = _given(section, arguments, positional, mistakes)
    if builds_task:
        complete_task(given, mistakes)
    try:
        settings = section.model_validate(given)
    except ValidationError as error:
        known = [key for key in known_keys(section) if not (key == positional and _is_many(section, key))]
        mistakes += [of_error(e, known) for e in error.errors()]
    else:
        mistakes += check(settings)
    if mistakes:
        raise ArgumentsError(command, mistakes)
    return settings


def complete_task(given: dict[str, Any], mistakes: list[Mistake]) -> None:
    """Fills in the defaults of the task that is named, in place."""
    if isinstance(given.get("task"), dict) and "name" in given["task"]:
        given["task"] = complete_choice(given["task"], "task", TASKS, mistakes)


def _given(
    section: type[Section], arguments: Sequence[str], positional: str, mistakes: list[Mistake]
) -> dict[str, Any]:
    """The arguments by key. Texts and paths are taken as they are written: a directory 2024 is no number."""
    many = bool(positional) and _is_many(section, positional)
    bare = [a for a in arguments if "=" not in a or (many and Path(a).exists())]
    keyed = [a for a in arguments if a not in bare]
    written = {key: value for key, _, value in (a.partition("=") for a in keyed)}
    given = parse_arguments(keyed)
    for name, field in section.model_fields.items():
        value = given.get(name)
        if name not in written:
            continue  # not given, or by its parts: name.key=value
        if _is_text(field.annotation) and not isinstance(value, str | NoneType):
            given[name] = written[name]
        elif _is_many(section, name) and isinstance(value, str):
            given[name] = value.split(",")
    if many:
        if positional in given:
            mistakes.append(Mistake(positional, given[positional], "give it without a key"))
        given[positional] = bare
        return given
    if positional and bare and positional not in given:
        given[positional] = bare.pop(0)
    mistakes += [Mistake(a, None, "arguments are key=value") for a in bare]
    return given


def _is_text(kind: Any) -> bool:
    """Whether a value of that type is a text or a path, or none."""
    if get_origin(kind) is Annotated:
        return _is_text(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return all(map(_is_text, get_args(kind)))
    return kind in (str, Path, NoneType)


def _is_many(section: type[Section], name: str) -> bool:
    field = section.model_fields.get(name)
    return field is not None and get_origin(field.annotation) is tuple
