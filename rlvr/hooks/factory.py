"""What builds a hook, and what a hook may add to a run besides being called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlvr.config.errors import Mistake
from rlvr.config.schema import Config, Section
from rlvr.core.run_dir import RunDir
from rlvr.hooks.contract import CheckpointHook

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from rlvr.engines import Engine
    from rlvr.tasks import Task


@dataclass(frozen=True)
class RunContext:
    """What a hook may use of the run that it is built for.

    tokenizer: the policy's. tasks: those that its factory named. model, base: directories of what is
    trained from and compared with. open_engine: an engine beside the one that trains, holding the weights of
    a directory; the caller closes it. begins_after: the step that the run resumes from, 0 for a new one.
    """

    config: Config
    run_dir: RunDir
    console: Console
    tokenizer: Any
    tasks: Sequence[Task]
    model: Path
    base: Path
    open_engine: Callable[[Path], Engine]
    begins_after: int


@dataclass(frozen=True)
class HookFactory:
    """Builds a hook, and says what it adds to a run. It must not import torch before it builds.

    build: None where the configuration leaves the hook nothing to do.
    name, section: the key of its own section of the configuration, and the section's model, which has a
    default for every key.
    find_mistakes: what is wrong between keys of the configuration.
    tasks: those that it uses; their prompts are checked against the model's context, and the card describes
    them. check_tasks: raises ConfigError where they do not go with the task that is trained on.
    longest: tokens of the longest completion that it samples, 0 for none. samples: how many it draws in all.
    plan: what --dry-run says of it. closing: what is printed when the run is finished.
    records: JSON-lines files in the run directory whose rows carry a `step`; a resumed run drops the rows
    of later steps. record_keys: those that tell rows of one file apart, so that one which is there twice
    counts once; none where rows may repeat.
    """

    build: Callable[[RunContext], CheckpointHook | None]
    name: str = ""
    section: type[Section] | None = None
    find_mistakes: Callable[[Config], list[Mistake]] = lambda config: []
    tasks: Callable[[Config], Sequence[Task]] = lambda config: ()
    check_tasks: Callable[[Config, Task, Sequence[Task]], None] = lambda config, trained, tasks: None
    longest: Callable[[Config], int] = lambda config: 0
    samples: Callable[[Config], int] = lambda config: 0
    plan: Callable[[Config], str] = lambda config: ""
    closing: Callable[[RunDir], Sequence[RenderableType]] = lambda run_dir: ()
    records: tuple[str, ...] = ()
    record_keys: tuple[str, ...] = ()

    def __call__(self, context: RunContext) -> CheckpointHook | None:
        return self.build(context)
