"""How a task's verifier is confined, and the refusal where nothing can confine it."""

from __future__ import annotations

from rlvr.sandbox import Confinement, ConfinementError, choose
from rlvr.tasks import TaskError


def confinement_for(task: str, what: str, allow_unsafe: bool) -> Confinement:
    """How the processes of this task's verifier are confined; `what` it does that calls for it.

    Raises TaskError where nothing here can confine a process, unless allow_unsafe.
    """
    try:
        return choose(allow_unsafe)
    except ConfinementError as error:
        raise TaskError(
            f"task {task} {what}, and {error} With task.allow_unsafe=true that happens under limits alone, "
            "with your files and your network within reach."
        ) from None
