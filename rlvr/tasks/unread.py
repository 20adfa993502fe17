"""Completions of which most have no verdict: how many, the cause where the verifiers can prove one, a sample.

An answer that is not found counts as wrong in every number, so a prompt that asks for another format than the
grader reads looks like a model that knows nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from pydantic import ValidationError

from rlvr.config import registry
from rlvr.core.errors import UserError
from rlvr.graders import Status
from rlvr.tasks import TASKS, Task, build_task
from rlvr.tasks.templates import TEMPLATES

# The share of samples without a verdict from which a number says nothing of the model.
MOST = 0.5
# Completions without an answer that other templates are tried on.
TRIED = 64
# Characters of a sample that are shown at each end.
SHOWN = 160
NO_VERDICT = (Status.UNPARSED, Status.TIMED_OUT)


class UnreadError(UserError):
    """Most samples have no verdict, and that was to be an error."""

    status = 3


class Graded(NamedTuple):
    """A completion as it was graded. cut: whether it ended at the token limit."""

    completion: str
    reference: Any
    status: str
    cut: bool = False


def is_unread(unparsed: float, timed_out: float) -> bool:
    """Whether most samples have no verdict, by these shares."""
    return unparsed + timed_out > MOST


def warning(task: Task, samples: int, unparsed: int, timed_out: int, some: Sequence[Graded]) -> str | None:
    """What to say before any number is shown; None where at most half of the samples have no verdict.

    some: graded samples, of which those without a verdict are looked at again by the verifiers of every other
    template that the task can have.
    """
    if not samples or not is_unread(unparsed / samples, timed_out / samples):
        return None
    lines = [
        f"WARNING: {task.name}: {unparsed + timed_out:,} of {samples:,} samples have no verdict "
        f"({unparsed:,} unparsed, {timed_out:,} timed out) and count as wrong: the numbers say nothing of "
        "the model"
    ]
    lost = [one for one in some if one.status in NO_VERDICT][:TRIED]
    lines += [f"  likely cause: {cause}" for cause in causes(task, lost)]
    if lost:
        first = next((one for one in lost if one.status == _commoner(unparsed, timed_out)), lost[0])
        lines.append(f"  a sample, {first.status}: {shortened(first.completion)}")
    return "\n".join(lines)


def causes(task: Task, lost: Sequence[Graded]) -> list[str]:
    """What the verifiers prove of completions without a verdict, the likeliest first; empty where nothing."""
    unparsed = [one for one in lost if one.status == Status.UNPARSED]
    found = []
    if len(lost) - len(unparsed) > len(lost) / 2:
        advice = "; task.seconds= gives it more" if "seconds" in task.built_with else ""
        found.append(f"the verifier ran out of time on {len(lost) - len(unparsed)} of {len(lost)}{advice}")
    read = {name: _read_by(other, unparsed) for name, other in _otherwise(task)} if unparsed else {}
    best = max(read, key=lambda name: read[name], default="")
    if read.get(best):
        found.append(
            f"template {best} would parse {read[best]} of {len(unparsed)}: give task.template={best} if "
            f"they were sampled so (now {task.built_with['template']})"
        )
    if empty := sum(not one.completion.strip() for one in unparsed):
        found.append(f"{empty} of {len(unparsed)} are empty")
    if cut := sum(one.cut for one in unparsed):
        found.append(f"{cut} of {len(unparsed)} were cut at the token limit, before an answer")
    return found


def shortened(text: str) -> str:
    """Its beginning and its end, where answers stand, as Python writes them."""
    if len(text) <= 2 * SHOWN:
        return repr(text)
    left_out = len(text) - 2 * SHOWN
    return f"{text[:SHOWN]!r} ... {left_out:,} characters ... {text[-SHOWN:]!r}"


def _commoner(unparsed: int, timed_out: int) -> Status:
    return Status.UNPARSED if unparsed >= timed_out else Status.TIMED_OUT


def _otherwise(task: Task) -> Iterator[tuple[str, Task]]:
    """The task as it would be built with each other template."""
    if task.name_given is None or "template" not in registry.schema(TASKS, task.name_given).model_fields:
        return
    for name in TEMPLATES:
        if name != task.built_with.get("template"):
            with suppress(UserError, ValidationError):
                yield name, build_task(task.name_given, **{**task.built_with, "template": name})


def _read_by(task: Task, unparsed: Sequence[Graded]) -> int:
    """In how many of the completions the task's own verifier finds an answer."""
    verdicts = task.verifier.grade([(one.completion, one.reference) for one in unparsed])
    return sum(verdict.status is not Status.UNPARSED for verdict in verdicts)
