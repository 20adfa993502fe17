"""rlvr COMMAND ...: the same commands as from a checkout, by one name wherever rlvr is installed.

  train    train and probe a recipe, as rlvr/train.py does; on several processes:
           accelerate launch -m rlvr.train recipe=NAME ...
  data     what a task would read, as python -m launch.data
  eval     measurements outside a training run, as python -m evals
  view     runs in a browser, as python -m evals view
  study    every algorithm with every seed, and their report, as python -m launch.study
  doctor   whether this machine can run a recipe, as python -m launch.preflight

rlvr COMMAND --help says more; rlvr --version.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import rlvr
from rlvr.config.dispatch import dispatch

# name -> module:function that takes the arguments after the name and returns the exit status
COMMANDS = {
    "train": "rlvr.train:main",
    "data": "launch.data:main",
    "eval": "evals.__main__:main",
    "view": "evals.commands.problems.view:main",
    "study": "launch.study:main",
    "doctor": "launch.preflight:main",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: that of the command; 2 where there is no such command."""
    given = sys.argv[1:] if arguments is None else arguments
    if list(given[:1]) == ["--version"]:
        print(f"rlvr {rlvr.__version__}")
        return 0
    return dispatch(COMMANDS, str(__doc__), given)


if __name__ == "__main__":
    sys.exit(main())
