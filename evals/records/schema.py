"""The schema of the probe's files: another version of the program reads them, or says why it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from rlvr.core.errors import UserError

# A new field with a default leaves it as it is; what changes the meaning of others raises it.
SCHEMA = 1

T = TypeVar("T")


class FileError(UserError):
    """A file does not hold what it should; the message names it and the row or column."""

    status = 2


def read_fields(kind: type[T], row: Mapping[str, Any], where: str, strict: bool = False) -> T:
    """A dataclass from a row of a file. where: the file and line, for messages.

    Fields that this version does not know are left out or, if `strict`, refused: it cannot tell whether
    they make two measurements incomparable. Raises FileError.
    """
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    required = [n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING]
    unknown = sorted(row.keys() - known.keys() - {"schema"})
    version = row.get("schema", SCHEMA)
    if version > SCHEMA or (strict and unknown):
        what = f"schema {version}" if version > SCHEMA else f"the fields {', '.join(unknown)}"
        raise FileError(
            f"{where}: written by a newer version of rlvr, with {what}: read it with that version"
        )
    if missing := [name for name in required if name not in row]:
        raise FileError(f"{where}: has no {', '.join(missing)}")
    return kind(**{name: value for name, value in row.items() if name in known})
