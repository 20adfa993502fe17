"""python -m evals COMMAND key=value ...: measurements outside a training run."""

from __future__ import annotations

import sys

from rlvr import builders

# name -> module:function that runs it, with the remaining arguments, and returns the exit status
COMMANDS = {
    "probe": "evals.probe_command:main",
    "store": "evals.store_command:main",
    "grade": "evals.grade:main",
    "export": "evals.export:main",
    "compare": "evals.compare.command:main",
    "curves": "evals.curves:main",
    "perplexity": "evals.perplexity:main",
    "entropy": "evals.entropy:main",
    "passk": "evals.passk:main",
    "ledger": "evals.ledger:main",
}


def main(arguments: list[str]) -> int:
    """Exit status: that of the command; 2 where there is no such command."""
    asked_for_help = bool({"-h", "--help"} & set(arguments[:1]))
    if asked_for_help or not arguments or arguments[0] not in COMMANDS:
        usage = f"{__doc__}\n\ncommands: {', '.join(COMMANDS)}; COMMAND --help says more"
        print(usage, file=sys.stdout if asked_for_help else sys.stderr)
        return 0 if asked_for_help else 2
    return builders.load(COMMANDS[arguments[0]])(arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
