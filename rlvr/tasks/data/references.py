"""The reference answers of the mathematics benchmarks: where a row has them, and which are no answers.

A reference is a text, or a list of texts of which any is right.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from rlvr.graders.math.equality.compare import Rules, compare
from rlvr.graders.math.reading.boxes import boxed
from rlvr.graders.math.reading.notation import LONGEST_ANSWER, canonical
from rlvr.graders.math.reading.numbers import rational
from rlvr.graders.math.reading.parsing import shape_of
from rlvr.graders.math.reading.shapes import Sentence, Word
from rlvr.tasks.overlap import text_key
from rlvr.tasks.sources import Row, RowError

MARK = "####"
Reference: TypeAlias = str | list[str]
# What files hold where an answer is missing, without case.
PLACEHOLDERS = {
    "n/a",
    "na",
    "#n/a",
    "none",
    "null",
    "nan",
    "nil",
    "tbd",
    "unknown",
    "?",
    "-",
    "--",
    "...",
    "[]",
}
# A text with more words is a solution, not the statement of an answer.
MOST_WORDS = 25


def answer_column(row: Row) -> Reference:
    """The column `answer`: a text or number, or a list of texts of which any is right."""
    answers = row.value("answer")
    if not isinstance(answers, list):
        return row.text("answer")
    if not answers or not all(isinstance(answer, str) and answer.strip() for answer in answers):
        raise RowError(f"column 'answer' is {answers!r:.60}, not text or a number, nor a list of texts")
    return answers


def after_mark(row: Row) -> str:
    """GSM8K: the number after the last #### of the worked solution."""
    solution = row.text("answer")
    if MARK not in solution:
        raise RowError(f"column 'answer' has no {MARK} before the final answer")
    number = solution.rpartition(MARK)[2].strip()
    if rational(number) is None:
        raise RowError(f"column 'answer' has {number!r:.60} after {MARK}, which is no number")
    return number


def boxed_in_solution(row: Row) -> str:
    r"""Minerva has no answer column: the last \boxed{} of the solution, or those that stand together."""
    answer = boxed(row.text("solution"))
    if not answer:
        raise RowError(r"column 'solution' has no \boxed{} with the answer")
    return answer


def final_answers(row: Row) -> str:
    """OlympiadBench: a list of texts, which together are the answer."""
    answers = row.value("final_answer")
    if not isinstance(answers, list) or not answers or not all(isinstance(a, str) for a in answers):
        raise RowError(f"column 'final_answer' is {answers!r:.60}, not a list of texts")
    return ", ".join(answers)


def check(reference: Reference) -> None:
    """Raises RowError for a reference that no completion can match in earnest."""
    for answer in texts(reference):
        if len(answer) > LONGEST_ANSWER or not canonical(answer):
            raise RowError(f"the answer {answer!r:.60} is blank or above {LONGEST_ANSWER} characters")
        if answer.strip(" .$").casefold() in PLACEHOLDERS or answer.strip() in PLACEHOLDERS:
            raise RowError(f"the answer {answer!r:.60} stands for a missing one")
        if len(answer.split()) > MOST_WORDS and isinstance(shape_of(answer), Sentence | Word):
            raise RowError(f"the answer {answer!r:.60} is a text of more than {MOST_WORDS} words")


def texts(reference: Reference) -> list[str]:
    return [reference] if isinstance(reference, str) else reference


@dataclass
class Answered:
    """The questions of a data set so far, to find one that comes again with another answer."""

    rows: dict[str, tuple[int, Reference]] = field(default_factory=dict)

    def add(self, number: int, question: str, reference: Reference) -> None:
        """Raises RowError where an earlier row asks the same and its answer is known to be another."""
        earlier, answer = self.rows.setdefault(text_key(question), (number, reference))
        pairs = [(one, other) for one in texts(reference) for other in texts(answer)]
        if all(compare(one, other, Rules()) is False for one, other in pairs):
            raise RowError(
                f"the question of row {earlier} again, whose answer is {answer!r:.60}, not {reference!r:.60}"
            )
