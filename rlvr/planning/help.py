"""What --help says."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel

from rlvr.algorithms import ALGORITHMS
from rlvr.config import registry
from rlvr.hooks.loading import config_model
from rlvr.planning.recipe import recipe_names
from rlvr.tasks import TASKS

WIDTH = 100
INDENT = " " * 6


class Key(NamedTuple):
    """A dotted key of the configuration. section: what it is a part of; meaning: what the key does."""

    name: str
    kind: str
    default: str | None
    section: type[BaseModel] | None = None
    meaning: str | None = None

    def __str__(self) -> str:
        """One line, and its meaning below; a key without a default is required."""
        line = f"  {self.name:<32} {self.kind}" + ("" if self.default is None else f" = {self.default}")
        meaning = " ".join((self.meaning or "").split())
        return "\n".join(
            (
                line,
                *textwrap.wrap(meaning, WIDTH - len(INDENT), initial_indent=INDENT, subsequent_indent=INDENT),
            )
        )


def help_text() -> str:
    """All recipes, algorithms, tasks and keys, with types and defaults."""
    return "\n".join(
        (
            _listed("recipes", recipe_names()),
            _listed("algorithms", ALGORITHMS),
            _listed("tasks", TASKS),
            "",
            "keys (without a default: the recipe or you must give it; those of optional groups and of",
            "entries[] of lists only with the group or the entry)",
            *_explained(trainer_keys()),
            *_section("algorithm", ALGORITHMS),
            *_section("task", TASKS),
        )
    )


def _explained(known: Iterable[Key]) -> Iterator[str]:
    """The keys, each section's behind its docstring."""
    told: set[type[BaseModel] | None] = set()
    for key in known:
        if key.section not in told:
            told.add(key.section)
            text = " ".join((inspect.getdoc(key.section) or "").split())
            yield from ("", *textwrap.wrap(text, WIDTH))
        yield str(key)


def trainer_keys() -> list[Key]:
    """Those of every run, but for what its algorithm and task add."""
    return [
        key._replace(default="runs/<recipe>-s<seed>") if key.name == "run_dir" else key
        for key in keys(config_model())
    ]


def keys(model: type[BaseModel], prefix: str = "", defaults: BaseModel | None = None) -> Iterator[Key]:
    """Every key that can be given; those of a list's entries as `list[].key`. defaults: an instance whose
    values are the defaults."""
    for name, field in model.model_fields.items():
        default = getattr(defaults, name) if defaults else field.get_default(call_default_factory=True)
        required = field.is_required() and defaults is None
        sections = [kind for kind in _parts(field.annotation) if _is_model(kind)]
        if not sections:
            written = None if required else _written(default)
            yield Key(prefix + name, _type_name(field.annotation), written, model, field.description)
        elif not required and not isinstance(default, BaseModel):
            kind = "list" if isinstance(default, tuple) else "mapping | none"
            yield Key(prefix + name, kind, _written(default), model, field.description)
        entries = "[]" if get_origin(field.annotation) is tuple else ""
        for section in sections:
            filled = default if isinstance(default, section) else None
            yield from keys(section, f"{prefix}{name}{entries}.", filled)


def _section(where: str, table: Mapping[str, str]) -> Iterator[str]:
    """The keys of all choices of a table with their types, then each one's defaults."""
    known = {
        name: [key._replace(section=None, meaning=None) for key in keys(registry.schema(table, name))]
        for name in table
    }
    kinds: dict[str, dict[str, None]] = {}
    for key in (key for choice in known.values() for key in choice):
        kinds.setdefault(key.name, {}).update(dict.fromkeys(key.kind.split(" | ")))
    yield f"\nkeys of {where}, by {where}.name:"
    yield from (str(Key(f"{where}.{name}", " | ".join(kind), None)) for name, kind in kinds.items())
    yield ""
    alike: dict[tuple[Key, ...], list[str]] = {}
    for name, choice in known.items():
        alike.setdefault(tuple(choice), []).append(name)
    for own, names in alike.items():
        given = [key.name if key.default is None else f"{key.name}={key.default}" for key in own]
        yield _listed(", ".join(names), given, " ")


def _listed(head: str, names: Iterable[str], separator: str = ", ") -> str:
    text = f"{head}: {separator.join(names)}"
    return textwrap.fill(text, WIDTH, subsequent_indent=" " * 4, break_long_words=False)


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return "none" if value is None else str(value)


def _parts(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) or (kind,)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _type_name(kind: Any) -> str:
    """A type as a person would write it: `int | none`, `0 | 2 | 3`."""
    if get_origin(kind) is Literal:
        return " | ".join(map(str, get_args(kind)))
    if get_origin(kind) is Annotated:
        return _type_name(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return " | ".join(map(_type_name, get_args(kind)))
    if get_origin(kind) is tuple:
        return f"[{', '.join('...' if a is ... else _type_name(a) for a in get_args(kind))}]"
    if get_origin(kind) is dict:
        return "mapping"
    return "none" if kind is type(None) else kind.__name__
