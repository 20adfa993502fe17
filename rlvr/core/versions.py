"""A version of code that states none. Standard library alone: confined workers import it."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any


def source_version(function: Callable[..., Any]) -> str:
    """module-0a1b2c3d: the function's module with a hash of its source, 8 hex digits."""
    function = inspect.unwrap(function)
    file = inspect.getsourcefile(function)
    source = Path(file).read_bytes() if file else repr(function).encode()
    return f"{function.__module__}-{hashlib.sha256(source).hexdigest()[:8]}"
