"""The strict grader on the real files: right answers in many spellings are right, others are wrong."""

from __future__ import annotations

import json
import random
import re
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import pytest

from rlvr.graders.math.grader import MathVerifier
from rlvr.graders.math.reading.notation import canonical
from rlvr.graders.math.reading.numbers import rational
from rlvr.graders.math.reading.parsing import shape_of
from rlvr.graders.math.reading.shapes import Many, Scalar, Word
from rlvr.tasks import build_task

BOXED = MathVerifier("qwen_boxed", "strict")
pytestmark = pytest.mark.slow
NAMES = ["math500", "minerva_math", "olympiadbench", "aime24", "amc23", "omni_math_rule"]


def references(data: Path, name: str) -> list[str]:
    task = build_task(name, source=str(data))
    return [p.reference for p in (*task.train, *task.test)]


def correct(pairs: list[tuple[str, str]]) -> list[bool]:
    """Whether each completion is correct against its reference, two at a time."""
    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(lambda pair: BOXED(*pair).correct, pairs))


@pytest.mark.parametrize(
    ("name", "rows"), [("math500", 500), ("minerva_math", 272), ("aime24", 29), ("omni_math_rule", 311)]
)
def test_worked_solutions_are_correct(data: Path, name: str, rows: int) -> None:
    """Minerva's reference is taken from the same solution, so there it is a round trip."""
    lines = (data / "math" / f"{name}.jsonl").read_text().splitlines()
    solutions = {
        str(row.get("unique_id", row.get("id", row.get("idx", number)))): row["solution"]
        for number, row in enumerate(map(json.loads, lines))
        if "\\boxed" in row["solution"]
    }
    assert len(solutions) == rows
    task = build_task(name, source=str(data))
    problems = [p for p in (*task.train, *task.test) if p.id in solutions]
    right = correct([(solutions[p.id], p.reference) for p in problems])
    wrong = [p.id for p, ok in zip(problems, right, strict=True) if not ok]
    print(f"\n{name}: {sum(right)} of {rows} correct; not: {wrong}")
    assert sum(right) / rows >= 0.975


def rewritten(answer: str) -> list[str]:
    """The answer in three or more other forms that are equal to it."""
    spaced = re.sub(r"(?<![\\a-zA-Z])([-+=]|,(?!\d{3}|\\!))", r" \1\\, ", answer)
    sized = re.sub(r"(?<!\\)([()])", lambda m: {"(": r"\left(", ")": r"\right)"}[m[1]], answer)
    forms = [f"$ {answer} $.", spaced, sized.replace(r"\frac", r"\dfrac")]
    shape = shape_of(answer)
    if isinstance(shape, Word):
        return [*forms, rf"\text{{{shape.text}}}", shape.text.upper()]
    if isinstance(shape, Many) and shape.kind in (",", "{}"):
        listing = canonical(answer)
        listing = listing[2:-2] if listing.startswith(r"\{") else listing
        parts = [part.strip() for part in listing.split(",")]
        if all(part.count(a) == part.count(b) for part in parts for a, b in ("()", "[]", "{}")):
            forms += [", ".join(reversed(parts)), rf"\{{{','.join(reversed(parts))}\}}"]
    if isinstance(shape, Scalar):
        number = rational(shape.text)
        if number is not None and not shape.unit:
            forms += [fraction(number, 2), f"{shape.text} \\text{{ units}}", rf"x = {shape.text}"]
        elif not shape.unit:
            forms += [rf"\frac{{2\left({shape.text}\right)}}{{2}}", rf"{{{shape.text}}}"]
    return forms


def bare(answer: str) -> str:
    return re.sub(r"[\s$]", "", answer)


def fraction(number: Fraction, times: int) -> str:
    r"""The number as \frac{a}{b}, not in lowest terms."""
    return rf"\frac{{{number.numerator * times}}}{{{number.denominator * times}}}"


@pytest.mark.parametrize("name", NAMES)
def test_answers_in_other_forms_are_correct(data: Path, name: str) -> None:
    answers = references(data, name)
    pairs = [(rf"\boxed{{{form}}}", answer) for answer in answers for form in rewritten(answer)]
    assert len(pairs) >= 3 * len(answers)
    right = correct(pairs)
    wrong = [pair for pair, ok in zip(pairs, right, strict=True) if not ok]
    print(f"\n{name}: {sum(right)} of {len(pairs)} correct; not:", *wrong, sep="\n  ")
    assert sum(right) / len(pairs) >= 0.97


@pytest.mark.parametrize("name", NAMES)
def test_answers_of_other_problems_are_wrong(data: Path, name: str) -> None:
    answers = references(data, name)
    others = random.Random(0).sample(answers, len(answers))
    pairs = [
        (rf"\boxed{{{other}}}", answer)
        for other, answer in zip(others, answers, strict=True)
        if bare(other) != bare(answer)
    ]
    right = correct(pairs)
    falsely = [pair for pair, ok in zip(pairs, right, strict=True) if ok]
    print(f"\n{name}: {len(falsely)} of {len(pairs)} correct:", *falsely, sep="\n  ")
    assert len(falsely) / len(pairs) <= 0.005
