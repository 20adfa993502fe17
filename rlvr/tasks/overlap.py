"""Whether problems that are measured are among those trained on, to the letter or in other spelling."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from rlvr.tasks import GeneratedProblems, Problem, Task
from rlvr.tasks.templates import TEMPLATES

# How a formula is set, and all that is no letter, digit, operator or bracket.
_SETTING = re.compile(r"\\[()\[\],;:! ]|\\(?:left|right|q?quad|displaystyle|text|mathrm)(?![a-z])")
_SEPARATOR = re.compile(r"(?<=\d)[^\w+*/=<>^()\[\]|!-]+(?=\d)")
_MARKS = re.compile(r"(?!\.\d)[^\w+*/=<>^()\[\]|! -]|(?<!\d) | (?!\d)|_")
_DASHES = str.maketrans({"\N{MINUS SIGN}": "-", "\N{EN DASH}": "-"})
# Letters of the n-grams that are compared, and the share of them in common that makes a copy.
LETTERS = 10
ALIKE = 0.75
# In texts shorter than this the numbers have to be the same: they are what tells such problems apart.
SHORT = 200
_MARKUP = re.compile(r"\\[a-zA-Z]+|\[/?[a-z]+\]")
_GAP = re.compile(r"(?<=\d)[\W_]+(?=\d)")
_OTHER = re.compile(r"[^\w ]|_|(?<!\d) | (?!\d)")


@dataclass(frozen=True, slots=True)
class Copy:
    """A measured problem and the training problem that it is a copy of. alike: the share of n-grams in
    common, 1 for texts that differ in spelling, spaces and markup alone."""

    problem: str
    of: str
    alike: float


def text_key(text: str) -> str:
    """The letters, digits, operators and brackets of a text without case: the same for texts that differ in
    spaces, punctuation or the delimiters of formulas alone. 6+1 is not 6-1, nor 1, 23 the same as 12, 3.
    """
    text = _SETTING.sub("", text.casefold().translate(_DASHES))
    return _MARKS.sub("", _SEPARATOR.sub(" ", text))


def normalised(text: str) -> str:
    """The text without case and with single spaces: problems that are equal so are one problem."""
    return " ".join(text.casefold().split())


def question(task: Task, problem: Problem) -> str:
    """The question of a problem, however the task poses it; the whole prompt where that is not known."""
    text = problem.question or problem.prompt
    if not problem.question and (template := TEMPLATES.get(task.template)):  # type: ignore[call-overload]
        before, _, after = template.partition("{question}")
        text = text.removeprefix(before).removesuffix(after)
    return text


def trained_on(trained: Task, measured: Task) -> list[str]:
    """Ids of the measured task's test problems that training may draw: those with the id of a training
    problem of the same task, or with the question of a training problem.

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
            texts |= {normalised(question(part, problem)) for problem in part.train}
        elif same:
            held_out = {normalised(question(part, problem)) for problem in part.test}
    return [
        problem.id
        for problem in measured.test
        if problem.id in ids
        or (text := normalised(question(measured, problem))) in texts
        or (held_out is not None and text not in held_out)
    ]


def copies(trained: Task, measured: Task) -> list[Copy]:
    """The measured task's test problems that are copies of training problems, in their order.

    Two texts are alike by the Jaccard index of their n-grams of ten letters and digits, without markup,
    spaces and what all prompts of a task begin and end with. Generated problems, too many to list, are left
    out. The same problems, of whatever task objects, are compared once.
    """
    parts = [part for part in trained.parts if not isinstance(part.train, GeneratedProblems)]
    posed = tuple(_posed(part, part.train) for part in parts)
    return [*_copies(posed, _posed(measured, measured.test))]


class _Posed(NamedTuple):
    """The problems of a task as they are compared."""

    template: str
    ids: tuple[str, ...]
    questions: tuple[str, ...]


def _posed(task: Task, problems: Sequence[Problem]) -> _Posed:
    ids = tuple(problem.id for problem in problems)
    return _Posed(task.template, ids, tuple(question(task, problem) for problem in problems))


@lru_cache(maxsize=8)
def _copies(trained: tuple[_Posed, ...], measured: _Posed) -> tuple[Copy, ...]:
    """As `copies`, of the training problems of several tasks."""
    frames = _frames([(part.template, part.questions) for part in (*trained, measured)])
    ids = [own for part in trained for own in part.ids]
    cut = [frames[part.template].cut(text) for part in trained for text in part.questions]
    texts = list(zip(ids, cut, strict=True))
    grams = [_grams(_plain(text)) for _, text in texts]
    holders: dict[str, list[int]] = defaultdict(list)
    for place, own in enumerate(grams):
        for gram in own:
            holders[gram].append(place)
    found = []
    for problem, whole in zip(measured.ids, measured.questions, strict=True):
        text = frames[measured.template].cut(whole)
        own, shared = _grams(_plain(text)), Counter[int]()
        for gram in own:
            shared.update(holders.get(gram, ()))
        likely = [(n / (len(own) + len(grams[i]) - n), i) for i, n in shared.items()]
        alike, place = max(likely, default=(0.0, -1))
        if alike >= ALIKE and _same_numbers(text, texts[place][1]):
            found.append(Copy(problem, texts[place][0], alike))
    return tuple(found)


def without_copies(trained: Task, measured: Task) -> Task:
    """The measured task without its test problems that are copies of training problems."""
    dropped = {copy.problem for copy in copies(trained, measured)}
    return replace(measured, test=[problem for problem in measured.test if problem.id not in dropped])


@dataclass(frozen=True)
class _Frame:
    """Letters that all texts of a template begin and end with."""

    head: int = 0
    tail: int = 0

    def cut(self, text: str) -> str:
        return text[self.head : len(text) - self.tail]


def _frames(sets: Sequence[tuple[str, Sequence[str]]]) -> dict[str, _Frame]:
    """By template."""
    prompts: dict[str, set[str]] = defaultdict(set)
    for template, texts in sets:
        prompts[template] |= set(texts)
    frames = {}
    for template, own in prompts.items():
        head = _shared([*own]) if len(own) > 1 else 0
        tail = _shared([prompt[head:][::-1] for prompt in own]) if len(own) > 1 else 0
        frames[template] = _Frame(head, tail)
    return frames


def _shared(texts: Sequence[str]) -> int:
    """Letters with which all of them begin: those of the first and the last in order."""
    one, other = min(texts), max(texts)
    return next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _plain(text: str) -> str:
    """Letters and digits alone, with a space between two numbers."""
    text = _MARKUP.sub(" ", unicodedata.normalize("NFKC", text).casefold())
    return _OTHER.sub("", _GAP.sub(" ", text))


def _grams(text: str) -> set[str]:
    """Of a text with fewer letters, itself; none of an empty one."""
    return {text[i : i + LETTERS] for i in range(max(1, len(text) - LETTERS + 1))} - {""}


def _same_numbers(one: str, other: str) -> bool:
    """Whether they have the same numbers; long texts may differ in them, as in a list's marks."""
    numbers = [sorted(re.findall(r"\d+", text)) for text in (one, other)]
    return numbers[0] == numbers[1] or min(len(one), len(other)) >= SHORT
