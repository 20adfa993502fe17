"""Right if the answer is JSON that a JSON Schema allows, for the keywords of `KEYWORDS`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlvr.graders import Status
from rlvr.graders.answers.texts import AnswerVerifier

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "boolean": (bool,), "null": (type(None),),
    "number": (int, float), "integer": (int, float),
}  # fmt: skip
# Keyword -> whether the value (second) breaks it; each looks at the kinds of values that it is about.
_LIMITS: dict[str, Any] = {
    "minimum": lambda least, v: _is_number(v) and v < least,
    "maximum": lambda most, v: _is_number(v) and v > most,
    "exclusiveMinimum": lambda least, v: _is_number(v) and v <= least,
    "exclusiveMaximum": lambda most, v: _is_number(v) and v >= most,
    "minLength": lambda least, v: isinstance(v, str) and len(v) < least,
    "maxLength": lambda most, v: isinstance(v, str) and len(v) > most,
    "minItems": lambda least, v: isinstance(v, list) and len(v) < least,
    "maxItems": lambda most, v: isinstance(v, list) and len(v) > most,
    "enum": lambda allowed, v: not any(_same(one, v) for one in allowed),
    "const": lambda wanted, v: not _same(wanted, v),
    "required": lambda names, v: isinstance(v, dict) and not set(names) <= v.keys(),
}
_NESTED = {"properties", "items", "additionalProperties", "anyOf", "oneOf", "allOf", "not"}
_SAID = {"$schema", "$id", "title", "description", "default", "examples"}
KEYWORDS = {"type", *_LIMITS, *_NESTED}
_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)


class SchemaError(ValueError):
    """The schema is not one that can be checked; the message says why."""


@dataclass(frozen=True)
class SchemaVerifier(AnswerVerifier):
    """reference: the schema. An answer that is no JSON, in a ```json block or by itself, is unparsed."""

    @property
    def version(self) -> str:
        return f"json_schema-1-{self.place}"

    def decide(self, answer: str, reference: Mapping[str, Any]) -> Status:
        blocks = _FENCE.findall(answer)
        try:
            value = json.loads(blocks[-1] if blocks else answer)
            return Status.CORRECT if allows(reference, value) else Status.WRONG
        except (ValueError, RecursionError):
            return Status.UNPARSED


def allows(schema: Any, value: Any) -> bool:
    """Whether a schema that `check` passed allows the value."""
    if isinstance(schema, bool):
        return schema
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is_a(value, kind) for kind in kinds):
        return False
    if any(_LIMITS[key](limit, value) for key, limit in schema.items() if key in _LIMITS):
        return False
    if "not" in schema and allows(schema["not"], value):
        return False
    if not all(allows(part, value) for part in schema.get("allOf", ())):
        return False
    if "anyOf" in schema and not any(allows(part, value) for part in schema["anyOf"]):
        return False
    if "oneOf" in schema and sum(allows(part, value) for part in schema["oneOf"]) != 1:
        return False
    if isinstance(value, dict):
        own, rest = schema.get("properties", {}), schema.get("additionalProperties", True)
        return all(allows(own.get(name, rest), item) for name, item in value.items())
    if isinstance(value, list) and "items" in schema:
        return all(allows(schema["items"], item) for item in value)
    return True


def check(schema: Any, where: str = "the schema") -> None:
    """Raises SchemaError for what is no schema, and for keywords that are not checked."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        raise SchemaError(f"{where} is {schema!r:.60}, not an object")
    if unknown := sorted(schema.keys() - KEYWORDS - _SAID):
        raise SchemaError(f"{where} has {', '.join(unknown)}; checked are {', '.join(sorted(KEYWORDS))}")
    kinds = schema.get("type", [])
    if wrong := [kind for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind not in _TYPES]:
        raise SchemaError(f"{where} has the type {wrong[0]!r}; types are {', '.join(_TYPES)}")
    for name, part in schema.get("properties", {}).items():
        check(part, f"{where}, property {name}")
    for key in ("items", "additionalProperties", "not"):
        if key in schema:
            check(schema[key], f"{where}, {key}")
    for key in ("anyOf", "oneOf", "allOf"):
        for i, part in enumerate(schema.get(key, ())):
            check(part, f"{where}, {key}[{i}]")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_a(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer":
        return _is_number(value) and float(value).is_integer()
    return isinstance(value, _TYPES[kind])


def _same(one: Any, other: Any) -> bool:
    """JSON's equality: 1 is 1.0, and neither is true."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other
