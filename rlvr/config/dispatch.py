"""Commands with commands of their own: the first argument names one, which gets the others."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from rlvr.config.errors import nearest
from rlvr.config.registry import load
from rlvr.core.errors import exit_status


def dispatch(commands: Mapping[str, str], usage: str, arguments: Sequence[str]) -> int:
    """Calls the function that the first argument names. commands: name -> "module:function".

    Exit status: that function's own; 2 where there is none, with the nearest name.
    """
    name, *rest = arguments or [""]
    if name in commands:
        return exit_status(lambda: load(commands[name])(rest))
    if name in ("-h", "--help"):
        return exit_status(lambda: print(usage))
    wrong = f"no command {name!r}; {nearest(name, list(commands), 'commands')}" if name else usage
    print(wrong, file=sys.stderr)
    return 2
