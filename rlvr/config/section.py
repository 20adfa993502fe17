"""What sections of a configuration are made of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from rlvr.core.errors import without_password

Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Written(BaseModel):
    """What is written as JSON, for files and logs, is without the passwords of URLs, wherever they stand."""

    @model_serializer(mode="wrap")
    def _without_passwords(
        self, serialize: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        written: dict[str, Any] = serialize(self)
        return _masked(written) if info.mode == "json" else written


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return without_password(value) if "@" in value else value
    if isinstance(value, dict):
        return {key: _masked(one) for key, one in value.items()}
    return type(value)(map(_masked, value)) if isinstance(value, list | tuple) else value


class Section(Written):
    """A part of the configuration. The text under a key is what `--help` says of it."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), use_attribute_docstrings=True
    )
