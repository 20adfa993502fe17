"""What --help says."""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from rlvr.algorithms import ALGORITHMS, PRESETS
from rlvr.config import Config
from rlvr.mistakes import known_keys
from rlvr.recipe import recipe_names
from rlvr.tasks import TASKS


def help_text() -> str:
    """All recipes, algorithms, tasks and keys, with types and defaults."""
    lines = [
        f"recipes:    {', '.join(recipe_names())}",
        f"algorithms: {', '.join(ALGORITHMS)}",
        f"tasks:      {', '.join(TASKS)}",
        f"presets:    {', '.join(PRESETS)} (algorithm.preset)",
        "",
        "keys (task.* and algorithm.* by name: see --dry-run for those of a recipe):",
    ]
    for key, field in known_keys(Config).items():
        default = "" if field.is_required() else f" = {field.default!r}"
        lines.append(f"  {key:<32} {_type_name(field.annotation)}{default}")
    return "\n".join(lines)


def _type_name(kind: Any) -> str:
    """A type as a person would write it: `int or None`, `one of 0, 2, 3`."""
    if get_origin(kind) is Literal:
        return " | ".join(map(str, get_args(kind)))
    if get_origin(kind) is Annotated:
        return _type_name(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return " | ".join(map(_type_name, get_args(kind)))
    if get_origin(kind) is tuple:
        return f"[{', '.join('...' if a is ... else _type_name(a) for a in get_args(kind))}]"
    return "none" if kind is type(None) else kind.__name__
