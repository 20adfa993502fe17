"""python -m evals contamination train=NAME test=NAME [train.KEY=VALUE ...] [test.KEY=VALUE ...]
    [out=FILE.jsonl]

Which test problems of one task are copies of problems that another trains on, also in other spelling: with
other markup, spaces, letters' case, or a few other words. Prints them with what each is a copy of. A run
leaves such problems out of its probe with probe.drop_contaminated=true; card.json counts them.

  out=   one object a copy: problem, of, alike (1 where they differ in spelling alone)
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from pydantic import ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from evals.commands.frame import OutFile, command
from evals.reports.tables import table
from rlvr.config.errors import Mistake
from rlvr.config.schema import Choice, Section
from rlvr.core.progress import plain_console
from rlvr.core.run_dir import write_text
from rlvr.planning.recipe import complete_choice
from rlvr.tasks import TASKS, build_task
from rlvr.tasks.overlap import copies


class Contamination(Section):
    """What one command holds together."""

    train: Choice
    test: Choice
    out: OutFile | None = None

    @field_validator("train", "test", mode="before")
    @classmethod
    def complete(cls, value: Any, info: ValidationInfo) -> Any:
        """With the defaults of the task's builder; a name alone is a task with its defaults."""
        given = {"name": value} if isinstance(value, str) else value
        mistakes: list[Mistake] = []
        made = complete_choice(given, str(info.field_name), TASKS, mistakes)
        if mistakes:
            raise PydanticCustomError("task", "{advice}", {"advice": mistakes[0].advice})
        return made


@command(Contamination)
def main(settings: Contamination) -> None:
    """Raises TaskError or PluginError."""
    trained = build_task(settings.train.name, **settings.train.options)
    measured = build_task(settings.test.name, **settings.test.options)
    found = copies(trained, measured)
    shown = table(f"Of {trained.name}'s training problems in {measured.name}", "problem", "copy of", "alike")
    for copy in found:
        shown.add_row(copy.problem, copy.of, f"{copy.alike:.0%}")
    if found:
        plain_console().print(shown)
    print(
        f"{len(found)} of the {len(measured.test)} test problems of {measured.name} are copies of training "
        f"problems of {trained.name}"
    )
    if settings.out is not None:
        write_text(settings.out, "".join(json.dumps(asdict(copy)) + "\n" for copy in found))
