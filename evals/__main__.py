"""python -m evals COMMAND key=value ...: measurements outside a training run."""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence
from pathlib import Path

from rlvr.config.dispatch import dispatch
from rlvr.core.errors import exit_status
from rlvr.core.process.launcher import end_with_launcher, leave
from rlvr.core.process.threads import wait_briefly

# name -> what it does; each is the `main` of evals/commands/<name>.py, or of the module that MODULES names,
# whose docstring is the help
COMMANDS = {
    "probe": "hold any model against its base, or take up the jobs of a detached run",
    "passk": "every number that stored counts or samples give, without a model",
    "watch": "probe the checkpoints of any trainer as they appear",
    "ledger": "which problems training gained and which it lost, with transcripts",
    "transcript": "what was written to one problem, turn by turn",
    "view": "runs in a browser: curves, problems, samples beside each other",
    "compare": "several runs side by side, as one page",
    "curves": "pass@k of any number of measurements in one figure",
    "perplexity": "perplexities of responses under base and policy",
    "entropy": "the policy at the temperature that gives it the base's entropy",
    "power": "a model sharpened by power sampling, as a control without training",
    "contamination": "which problems of a task stand among those that another trains on",
    "grade": "grade stored completions again",
    "sound": "how many right answers follow a wrong step, in stored samples",
    "judge-check": "how often a judge of reasoning agrees with an exact checker",
    "store": "list the sample store, or write one of its sets as a file",
    "export": "merge a policy's adapters into a whole model",
}

MODULES = {
    "entropy": "controls.entropy",
    "power": "controls.power",
    "judge-check": "controls.judge_check",
    "watch": "two_models.watching",
    "ledger": "problems.ledger",
    "transcript": "problems.transcript",
    "view": "problems.view",
}


def main(arguments: Sequence[str]) -> int:
    """Exit status: that of the command; 2 where there is no such command."""
    if arguments[:1] and arguments[0] in COMMANDS and {"-h", "--help"} & set(arguments[1:]):
        return exit_status(lambda: print(help_of(arguments[0])))
    listed = "\n".join(f"  {name:<13} {what}" for name, what in COMMANDS.items())
    usage = f"{__doc__}\n\n{listed}\n\nCOMMAND --help says more."
    return dispatch({name: f"evals.commands.{_module(name)}:main" for name in COMMANDS}, usage, arguments)


def help_of(name: str) -> str:
    """The docstring of a command's module, read without importing what the command needs."""
    source = Path(__file__).parent.joinpath("commands", *_module(name).split(".")).with_suffix(".py")
    return ast.get_docstring(ast.parse(source.read_text())) or ""


def _module(name: str) -> str:
    """Of a command, below evals.commands."""
    return MODULES.get(name, name)


if __name__ == "__main__":
    wait_briefly()
    end_with_launcher()
    leave(main(sys.argv[1:]))
