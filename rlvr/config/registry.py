"""Named builders: a name stands for "module:function", and the function's signature is its schema.

A table holds the built-in names. Any other name is itself a path, "package.module:function" of a plug-in.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model

from rlvr.config.keys import flattened, merged
from rlvr.core.errors import UserError, is_missing


class PluginError(UserError):
    """A function that the user named cannot be used; the message says which, why, and in which line."""

    status = 2


def load(path: str) -> Callable[..., Any]:
    """The function that "package.module:function" names. Raises PluginError."""
    module, colon, name = path.partition(":")
    if not (colon and module and name):
        raise PluginError(f"{path!r} is not of the form package.module:function")
    try:
        imported = importlib.import_module(module)
    except Exception as error:  # whatever a module does when it is imported
        if is_missing(error):
            raise
        raise PluginError(f"{path}: the module {module} cannot be imported: {located(error)}") from error
    found = getattr(imported, name, None)
    if found is None:
        where = getattr(imported, "__file__", module)
        raise PluginError(f"{path}: {where} defines no {name}")
    if not callable(found):
        raise PluginError(f"{path}: {name} is of type {type(found).__name__}, not a function")
    return found


def located(error: Exception) -> str:
    """The error with the file and line that raised it: 'ValueError: no rows (tasks.py, line 12)'."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename]
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} ({error.filename}, line {error.lineno})"
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if len(frames) > 1 else ""
    return f"{type(error).__name__}: {error}{where}"


def check_takes(path: str, arguments: str, options: Iterable[str] = ()) -> None:
    """Raises PluginError where the function cannot be called with these arguments.

    arguments: names of the positional ones. options: those of keywords.
    """
    function = load(path)
    try:
        inspect.signature(function).bind(*arguments.split(", "), **dict.fromkeys(options))
    except TypeError:
        line = getattr(getattr(function, "__code__", None), "co_firstlineno", None)
        where = f" ({inspect.getsourcefile(function)}, line {line})" if line else ""
        taken = str(inspect.signature(function))
        needed = ", ".join((arguments, *(f"{name}=" for name in options)))
        raise PluginError(f"{path} has to take ({needed}), it takes {taken}{where}") from None
    except ValueError:  # a builtin without a signature
        return


def family(name: str) -> str:
    """The part of a name that the table knows: `countdown` of `countdown:4`."""
    return name.partition(":")[0]


def variant(name: str) -> str:
    """The part after the colon, empty if there is none: `4` of `countdown:4`."""
    return name.partition(":")[2]


def is_plugin(table: Mapping[str, str], name: str) -> bool:
    """Whether the name is the path of a function of the user's own."""
    return variant(name).isidentifier() and family(name) not in table


def builder(table: Mapping[str, str], name: str) -> Callable[..., Any]:
    """The function that builds what is named. Raises KeyError for an unknown name, PluginError."""
    return load(name) if is_plugin(table, name) else load(table[family(name)])


def schema(table: Mapping[str, str], name: str) -> type[BaseModel]:
    """A model whose fields are the builder's keyword arguments. Raises KeyError for an unknown name.

    `variant` is a field only where a built-in name carries one: it is given in the name alone.
    """
    function = builder(table, name)
    hints = get_type_hints(function, include_extras=True)
    own = _given_variant(table, name)
    fields: dict[str, Any] = {}
    for p in inspect.signature(function).parameters.values():
        if p.kind in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL, p.VAR_KEYWORD):
            raise PluginError(f"{name}: parameter {p} has no name that a recipe could give; use keywords")
        if p.name != "variant" or own or is_plugin(table, name):
            fields[p.name] = (hints.get(p.name, Any), ... if p.default is p.empty else p.default)
    config = ConfigDict(extra="forbid", frozen=True)
    return create_model(function.__name__, __config__=config, **fields)


def build(table: Mapping[str, str], name: str, options: Mapping[str, Any]) -> Any:
    """What the named builder makes of these options. Raises PluginError where a plug-in fails."""
    settings = schema(table, name).model_validate({**options, **_given_variant(table, name)})
    arguments = {field: getattr(settings, field) for field in type(settings).model_fields}
    function = builder(table, name)
    if not is_plugin(table, name):
        return function(**arguments)
    try:
        return function(**arguments)
    except UserError:
        raise
    except Exception as error:  # the function is the user's
        raise PluginError(f"{name} failed: {located(error)}") from error


def complete(table: Mapping[str, str], name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with the builder's defaults filled in. Raises pydantic.ValidationError."""
    given = {**options, **_given_variant(table, name)}
    result = schema(table, name).model_validate(merged(defaults(table, name), given)).model_dump()
    if _given_variant(table, name):
        result.pop("variant")
    return result


def defaults(table: Mapping[str, str], name: str) -> dict[str, Any]:
    """What the builder takes where a recipe says nothing."""
    fields = schema(table, name).model_fields
    return {
        field: info.default.model_dump() if isinstance(info.default, BaseModel) else info.default
        for field, info in fields.items()
        if not info.is_required()
    }


def departures(table: Mapping[str, str], name: str, options: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Dotted keys -> (default, given) of all options that are not the builder's defaults."""
    usual, given = flattened(defaults(table, name)), flattened(options)
    return {
        key: (usual.get(key), value)
        for key, value in given.items()
        if key not in usual or _plain(usual[key]) != _plain(value)
    }


def with_defaults(function: Callable[..., Any], name: str, **changed: Any) -> Callable[..., Any]:
    """The builder under another name and with other defaults; it takes the same keys.

    What it builds has a field `name`, which becomes the new one.
    """

    @functools.wraps(function)
    def build_variant(**settings: Any) -> Any:
        return replace(function(**{**changed, **settings}), name=name)

    parameters = inspect.signature(function).parameters
    if unknown := changed.keys() - parameters.keys():
        raise TypeError(f"{name}: {function.__name__} takes no {', '.join(sorted(unknown))}")
    build_variant.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [p.replace(default=changed.get(p.name, p.default)) for p in parameters.values()]
    )
    build_variant.__name__ = name
    return build_variant


def _plain(value: Any) -> Any:
    """Lists and tuples alike, as JSON has it."""
    return list(value) if isinstance(value, tuple) else value


def _given_variant(table: Mapping[str, str], name: str) -> dict[str, str]:
    """The variant that a built-in name carries, as an option."""
    return {} if is_plugin(table, name) or not variant(name) else {"variant": variant(name)}
