"""Whether problems that are measured are among those that are trained on."""

from __future__ import annotations

from rlvr.tasks import GeneratedProblems, Problem, Task
from rlvr.tasks.templates import TEMPLATES


def normalised(text: str) -> str:
    """The text without case and with single spaces: problems that are equal so are one problem."""
    return " ".join(text.casefold().split())


def question(task: Task, problem: Problem) -> str:
    """The normalised question of a problem, however the task poses it."""
    text = problem.question or problem.prompt
    if not problem.question and (template := TEMPLATES.get(task.template)):  # type: ignore[call-overload]
        before, _, after = template.partition("{question}")
        text = text.removeprefix(before).removesuffix(after)
    return normalised(text)


def trained_on(trained: Task, measured: Task) -> list[str]:
    """Ids of the measured task's test problems that training may draw: those with the id of a training
    problem of the same task, or with a training problem's normalised question.

    Ids count only where they tell problems apart: files of their own for training and test, each numbered
    from 0, do not. Of generated training problems, too many to list, it is known only that the task's own
    test problems are left out.
    """
    tells = {problem.id for problem in measured.test}
    if not isinstance(measured.train, GeneratedProblems):
        tells -= {problem.id for problem in measured.train}
    ids: set[str] = set()
    texts: set[str] = set()
    held_out: set[str] | None = None
    for part in trained.parts:
        same = part.name.partition("#")[0] == measured.name
        if not isinstance(part.train, GeneratedProblems):
            ids |= tells & {problem.id for problem in part.train} if same else set()
            texts |= {question(part, problem) for problem in part.train}
        elif same:
            held_out = {question(part, problem) for problem in part.test}
    return [
        problem.id
        for problem in measured.test
        if problem.id in ids
        or (text := question(measured, problem)) in texts
        or (held_out is not None and text not in held_out)
    ]
