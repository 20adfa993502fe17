"""Verifiers that compare an answer with texts and numbers: exact, choice, number."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from rlvr.graders import Status, Verdict
from rlvr.graders.answers.reading import Place, normalised, read_answer
from rlvr.graders.math.reading.notation import canonical, compact
from rlvr.graders.math.reading.numbers import LONGEST_NUMBER, rational

_LETTER = re.compile(r"(?:option|choice|answer)?\s*[(\[]?([A-Za-z])[)\].:]?(?=\s|$)", re.IGNORECASE)
_SIGNED = re.compile(r"[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+|/\d+)?")


@dataclass(frozen=True)
class AnswerVerifier(ABC):
    """Reads the answer and decides it by a few lines of our own. place: where it is read."""

    place: Place

    @property
    @abstractmethod
    def version(self) -> str:
        """Changes whenever a verdict could."""

    @property
    def confinement(self) -> None:
        return None

    @abstractmethod
    def decide(self, answer: str, reference: Any) -> Status:
        """Whether an answer that was found is right."""

    def __call__(self, completion: str, reference: Any) -> Verdict:
        start = time.perf_counter()
        answer = read_answer(completion, self.place)
        status = Status.UNPARSED if answer is None else self.decide(answer, reference)
        score = 1.0 if status is Status.CORRECT else 0.0
        return Verdict(status, score, answer, time.perf_counter() - start)

    def grade(self, items: Sequence[tuple[str, Any]]) -> list[Verdict]:
        return [self(completion, reference) for completion, reference in items]


@dataclass(frozen=True)
class ExactVerifier(AnswerVerifier):
    """Right if the answer is the reference, or one of a list; spaces and Unicode forms do not matter."""

    ignore_case: bool = False

    @property
    def version(self) -> str:
        return f"exact-1-{self.place}" + ("+ignore_case" if self.ignore_case else "")

    def decide(self, answer: str, reference: str | list[str]) -> Status:
        given = normalised(answer, self.ignore_case)
        right = any(normalised(text, self.ignore_case) == given for text in _listed(reference))
        return Status.CORRECT if right else Status.WRONG


@dataclass(frozen=True)
class ChoiceVerifier(AnswerVerifier):
    """Right if the answer names the right choice, by its letter or by its text.

    reference: {"choices": texts, "answer": index}. An answer that names no choice is unparsed.
    """

    @property
    def version(self) -> str:
        return f"choice-1-{self.place}"

    def decide(self, answer: str, reference: Mapping[str, Any]) -> Status:
        chosen = chosen_of(answer, reference["choices"])
        if chosen is None:
            return Status.UNPARSED
        return Status.CORRECT if chosen == reference["answer"] else Status.WRONG


@dataclass(frozen=True)
class NumberVerifier(AnswerVerifier):
    """Right if the answer is the number, or one of a list, within a relative tolerance.

    An answer that is no number, nor holds just one, is unparsed.
    """

    tolerance: float = 0.0

    @property
    def version(self) -> str:
        return f"number-1-{self.place}" + (f"+{self.tolerance:g}" if self.tolerance else "")

    def decide(self, answer: str, reference: str | list[str]) -> Status:
        given = number_of(answer)
        if given is None:
            return Status.UNPARSED
        allowed = [wanted for wanted in map(number_of, _listed(reference)) if wanted is not None]
        right = any(self._near(given, wanted) for wanted in allowed)
        return Status.CORRECT if right else Status.WRONG

    def _near(self, given: Fraction, wanted: Fraction) -> bool:
        return abs(given - wanted) <= Fraction(self.tolerance) * abs(wanted)


def number_of(text: str) -> Fraction | None:
    """The number that a text is, that stands behind its last equals sign, or that is the only one in it."""
    text = text.rpartition("=")[2]
    if (value := rational(compact(canonical(text)))) is not None:
        return value
    found = _SIGNED.findall(text) if len(text) <= LONGEST_NUMBER else []
    if len(found) != 1:
        return None
    return rational(found[0].lstrip("+").rstrip("."))


def chosen_of(answer: str, choices: Sequence[str]) -> int | None:
    """The index of the choice that an answer names: its text, its letter, or letter and text."""
    texts = [normalised(choice, ignore_case=True) for choice in choices]
    given = normalised(answer, ignore_case=True).rstrip(".")
    for i, text in enumerate(texts):
        if given in (text, text.rstrip(".")):
            return i
    letter = _LETTER.match(answer.strip().strip("*$").removeprefix("\\text{"))
    index = ord(letter[1].upper()) - ord("A") if letter else len(choices)
    return index if index < len(choices) else None


def _listed(reference: str | list[str]) -> list[str]:
    return [reference] if isinstance(reference, str) else list(reference)
