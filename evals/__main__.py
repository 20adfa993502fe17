"""python -m evals COMMAND key=value ...: measurements outside a training run."""

from __future__ import annotations

import sys

from rlvr.config import registry
from rlvr.core.threads import wait_briefly

# name -> what it does; each is the `main` of evals/commands/<name>.py, which returns the exit status
COMMANDS = {
    "probe": "hold any model against its base, or take up the jobs of a detached run",
    "passk": "every number that stored counts or samples give, without a model",
    "ledger": "which problems training gained and which it lost, with transcripts",
    "compare": "several runs side by side, as one page",
    "curves": "pass@k of any number of measurements in one figure",
    "perplexity": "perplexities of responses under base and policy",
    "entropy": "the policy at the temperature that gives it the base's entropy",
    "power": "a model sharpened by power sampling, as a control without training",
    "grade": "grade stored completions again",
    "store": "list the sample store, or write one of its sets as a file",
    "export": "merge a policy's adapters into a whole model",
}


def main(arguments: list[str]) -> int:
    """Exit status: that of the command; 2 where there is no such command."""
    asked_for_help = bool({"-h", "--help"} & set(arguments[:1]))
    if asked_for_help or not arguments or arguments[0] not in COMMANDS:
        listed = "\n".join(f"  {name:<11} {what}" for name, what in COMMANDS.items())
        usage = f"{__doc__}\n\n{listed}\n\nCOMMAND --help says more."
        print(usage, file=sys.stdout if asked_for_help else sys.stderr)
        return 0 if asked_for_help else 2
    return registry.load(f"evals.commands.{arguments[0]}:main")(arguments[1:])


if __name__ == "__main__":
    wait_briefly()
    sys.exit(main(sys.argv[1:]))
