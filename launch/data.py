"""rlvr data FILE|task=NAME [model=MODEL] [task.KEY=VALUE ...]: what a task would read, before any run.

FILE is a data file (jsonl, json, csv, tsv, parquet; text also .gz), a directory of such files, or a data set
of the hub. Prints rows, columns, lengths, repeats, overlap of the splits, five prompts, five references
graded against themselves, and what is left out and why. With a model lengths are in its tokens, and its chat
template poses the prompts; without one they are in characters. Exits with 2 if the data cannot be used.
The same: python -m launch.data ...
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from evals.commands.frame import read_settings
from rlvr.config.schema import Choice, Section
from rlvr.core.errors import exit_status
from rlvr.tasks import TASKS, Task, build_task
from rlvr.tasks.data.names import NAME
from rlvr.tasks.data.report import Lengths, report
from rlvr.tasks.data.task import remade


class Looking(Section):
    """What is looked at."""

    task: Choice
    model: str | None = None


def main(arguments: Sequence[str]) -> int:
    """Exit status: 0 the data can be used, 2 it cannot."""
    return exit_status(lambda: look(arguments))


def look(arguments: Sequence[str]) -> int:
    """Prints the report. Raises DataError for data that cannot be read, ArgumentsError."""
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0
    settings = read_settings(Looking, spelled(arguments), "data", lambda settings: (), builds_task=True)
    task = build_task(settings.task.name, **settings.task.options)
    made = remade(settings.task.options) if settings.task.name == NAME else None
    lengths = Lengths(lambda problems: [len(problem.prompt) for problem in problems], "characters")
    if settings.model is not None:
        task, lengths = with_model(task, settings.model)
    elif task.chat is not None:
        print("the prompts below are questions alone: model=MODEL shows them in its chat template")
    found = report(task, lengths, made)
    print("\n".join(found.lines))
    return 2 if found.faults else 0


def spelled(arguments: Sequence[str]) -> list[str]:
    """The arguments with keys: one without a key is a task's name, or else the path of data."""
    given = []
    for argument in arguments:
        if "=" in argument or argument.startswith("-"):
            given.append(argument)
        elif argument.partition(":")[0] in TASKS:
            given.append(f"task={argument}")
        else:
            given += [f"task={NAME}", f"task.path={argument}"]
    return given


def with_model(task: Task, model: str) -> tuple[Task, Lengths]:
    """The task as the model's tokenizer poses it, and lengths in its tokens."""
    from rlvr.models.loading import context, load_tokenizer, model_directory
    from rlvr.tasks.templates.chat import posed, prompt_lengths

    directory = model_directory(model)
    tokenizer = load_tokenizer(directory)
    room = context(directory) - 1
    return posed(task, tokenizer), Lengths(partial(prompt_lengths, tokenizer), "tokens", room)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
