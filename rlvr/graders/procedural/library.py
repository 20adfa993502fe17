"""reasoning-gym, with or without pycosat: C source without a wheel, so that it needs a compiler."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any


def load() -> ModuleType:
    """The package, in which without pycosat all data sets but zebra_puzzles can be drawn from.

    Raises ImportError where reasoning-gym itself is missing.
    """
    if (
        "reasoning_gym" not in sys.modules
    ):  # an import that failed leaves its modules, cut off from the package
        for name in [name for name in sys.modules if name.startswith("reasoning_gym.")]:
            del sys.modules[name]
    missing = find_spec("pycosat") is None
    if missing:
        sys.modules["pycosat"] = _MissingPycosat("pycosat")
    try:
        import reasoning_gym
    finally:
        if missing:
            del sys.modules["pycosat"]  # sympy too asks whether there is one
    return reasoning_gym


class _MissingPycosat(ModuleType):
    """What zebra_puzzles holds instead: importing any data set imports them all."""

    def __getattr__(self, name: str) -> Any:
        raise ImportError("zebra_puzzles needs pycosat, which a C compiler builds: pip install pycosat")
