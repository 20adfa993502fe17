"""rlvr COMMAND ...: the same commands as from a checkout, by one name wherever rlvr is installed.

  train    train and probe a recipe, as rlvr/train.py does; on several processes:
           accelerate launch -m rlvr.train recipe=NAME ...
  eval     measurements outside a training run, as python -m evals
  study    every algorithm with every seed, and their report, as python -m launch.study
  doctor   whether this machine can run a recipe, as python -m launch.preflight

rlvr COMMAND --help says more; rlvr --version.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import rlvr
from rlvr.config.errors import nearest
from rlvr.config.registry import load
from rlvr.core.errors import exit_status

# name -> module:function that takes the arguments after the name and returns the exit status
COMMANDS = {
    "train": "rlvr.train:main",
    "eval": "evals.__main__:main",
    "study": "launch.study:main",
    "doctor": "launch.preflight:main",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: that of the command; 2 where there is no such command."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    if name in COMMANDS:
        return load(COMMANDS[name])(rest)
    if name in ("-h", "--help", "--version"):
        return exit_status(lambda: print(f"rlvr {rlvr.__version__}" if name == "--version" else __doc__))
    asked = f"no command {name!r}; {nearest(name, list(COMMANDS), 'commands')}" if name else __doc__
    print(asked, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
