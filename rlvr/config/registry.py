"""Named builders: a table maps a name to "module:function", and the function's signature is its schema."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model


def load(path: str) -> Callable[..., Any]:
    """The function that "package.module:function" names. Raises ImportError or AttributeError."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def family(name: str) -> str:
    """The part of a name that the table knows: `countdown` of `countdown:4`."""
    return name.partition(":")[0]


def variant(name: str) -> str:
    """The part after the colon, empty if there is none: `4` of `countdown:4`."""
    return name.partition(":")[2]


def schema(table: Mapping[str, str], name: str) -> type[BaseModel]:
    """A model whose fields are the builder's keyword arguments. Raises KeyError for an unknown name.

    `variant` is a field only where the name carries one: it is given in the name alone.
    """
    builder = load(table[family(name)])
    hints = get_type_hints(builder, include_extras=True)
    fields: dict[str, Any] = {
        p.name: (hints[p.name], ... if p.default is p.empty else p.default)
        for p in inspect.signature(builder).parameters.values()
        if p.name != "variant" or variant(name)
    }
    config = ConfigDict(extra="forbid", frozen=True)
    return create_model(builder.__name__, __config__=config, **fields)


def build(table: Mapping[str, str], name: str, options: Mapping[str, Any]) -> Any:
    """What the named builder makes of these options."""
    settings = schema(table, name).model_validate(_with_variant(name, options))
    arguments = {field: getattr(settings, field) for field in type(settings).model_fields}
    return load(table[family(name)])(**arguments)


def complete(
    table: Mapping[str, str], name: str, options: Mapping[str, Any], preset: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The options with the builder's defaults, and the preset's over them, filled in.

    A preset's settings that this builder does not have are left out. Raises pydantic.ValidationError.
    """
    model = schema(table, name)
    defaults = {field: info.default for field, info in model.model_fields.items() if not info.is_required()}
    plain = {
        field: value.model_dump() if isinstance(value, BaseModel) else value
        for field, value in defaults.items()
    }
    known = {field: value for field, value in (preset or {}).items() if field in plain}
    filled = merged(merged(plain, known), _with_variant(name, options))
    result = model.model_validate(filled).model_dump()
    result.pop("variant", None)
    return result


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings laid over each other."""
    result = dict(under)
    for key, value in over.items():
        below = result.get(key)
        nested = isinstance(below, Mapping) and isinstance(value, Mapping)
        result[key] = merged(below, value) if nested else value  # type: ignore[arg-type]
    return result


def _with_variant(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    return {**options, "variant": variant(name)} if variant(name) else dict(options)
