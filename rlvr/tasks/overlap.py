"""Whether problems that are measured are among those that are trained on."""

from __future__ import annotations

import re
from collections.abc import Callable

from rlvr.tasks import GeneratedProblems, Task

# How a formula is set, and all that is no letter, digit, operator or bracket.
_SETTING = re.compile(r"\\[()\[\],;:! ]|\\(?:left|right|q?quad|displaystyle|text|mathrm)(?![a-z])")
_SEPARATOR = re.compile(r"(?<=\d)[^\w+*/=<>^()\[\]|!-]+(?=\d)")
_MARKS = re.compile(r"(?!\.\d)[^\w+*/=<>^()\[\]|! -]|(?<!\d) | (?!\d)|_")
_DASHES = str.maketrans({"\N{MINUS SIGN}": "-", "\N{EN DASH}": "-"})


def text_key(text: str) -> str:
    """The letters, digits, operators and brackets of a text without case: the same for texts that differ in
    spaces, punctuation or the delimiters of formulas alone. 6+1 is not 6-1, nor 1, 23 the same as 12, 3.
    """
    text = _SETTING.sub("", text.casefold().translate(_DASHES))
    return _MARKS.sub("", _SEPARATOR.sub(" ", text))


def normalised(text: str) -> str:
    """The text without case and with single spaces: problems that are equal so are one problem."""
    return " ".join(text.casefold().split())


def trained_on(trained: Task, measured: Task, key: Callable[[str], str] = normalised) -> list[str]:
    """Ids of the measured task's test problems that training may draw: those with the id of a training
    problem of the same task, or with the key of a training problem's text.

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
            texts |= {key(problem.prompt) for problem in part.train}
        elif same:
            held_out = {key(problem.prompt) for problem in part.test}
    return [
        problem.id
        for problem in measured.test
        if problem.id in ids
        or (text := key(problem.prompt)) in texts
        or (held_out is not None and text not in held_out)
    ]
