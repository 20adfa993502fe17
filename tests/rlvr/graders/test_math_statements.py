"""Final answers read as what they are: each kind of statement, and the near-misses of each."""

from __future__ import annotations

import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from rlvr.graders.math.extract import TemplateName
from rlvr.graders.math.grader import GraderName, MathVerifier

CORPORA = Path(__file__).parent / "corpora"


def corpus(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (CORPORA / f"{name}.jsonl").read_text().splitlines()]


STATEMENTS = defaultdict(list)
for row in corpus("math_statements"):
    STATEMENTS[row["kind"]].append(row)


def placed(row: dict[str, Any], template: TemplateName) -> str:
    """A completion with the answer where the template asks for it."""
    if template == "qwen_boxed":
        return f"Hence \\boxed{{{row['given']}}}."
    return f"<think> steps </think> <answer> {row['given']} </answer>"


@pytest.mark.parametrize("template", ["qwen_boxed", "r1_zero"])
@pytest.mark.parametrize("kind", sorted(STATEMENTS))
def test_statements(kind: str, template: TemplateName) -> None:
    rows = STATEMENTS[kind]
    verdicts = MathVerifier(template, "strict").grade(
        [(placed(row, template), row["wanted"]) for row in rows]
    )
    assert [row for row, v in zip(rows, verdicts, strict=True) if v.correct != row["equal"]] == []


def test_every_kind_has_near_misses() -> None:
    for kind, rows in STATEMENTS.items():
        assert {row["equal"] for row in rows} >= (
            {True} if kind in ("binomial", "constant") else {True, False}
        ), kind


def test_whose_and_which_answer_counts() -> None:
    for row in corpus("math_places"):
        verdict = MathVerifier(row["template"], "strict")(row["completion"], row["wanted"])
        assert verdict.correct == row["equal"], row


@pytest.mark.parametrize(
    ("template", "step"),
    [
        ("qwen_boxed", 4),
        *(pytest.param(name, 1, marks=pytest.mark.slow) for name in ("qwen_boxed", "r1_zero", "plain")),
    ],
)
def test_lenient_accepts_whatever_strict_accepts(template: TemplateName, step: int) -> None:
    """On every step-th pair."""
    rows = [(row["given"], row["wanted"]) for row in corpus("math_statements")]
    rows += [
        (row["given"], row["wanted"]) for name in ("math_equal", "math_different") for row in corpus(name)
    ]
    items: dict[TemplateName, list[tuple[str, str]]] = {
        "qwen_boxed": [(f"\\boxed{{{given}}}", wanted) for given, wanted in rows],
        "r1_zero": [(f"<answer>{given}</answer>", wanted) for given, wanted in rows],
        "plain": [(f"The answer is {given}", wanted) for given, wanted in rows],
    }
    for row in corpus("math_places"):
        items[row["template"]].append((row["completion"], row["wanted"]))

    chosen = items[template][::step]

    def verdicts(grader: GraderName) -> list[bool]:
        return [v.correct for v in MathVerifier(template, grader).grade(chosen)]

    with ThreadPoolExecutor(2) as threads:
        strict, lenient = threads.map(verdicts, ("strict", "lenient"))
    pairs = zip(chosen, strict, lenient, strict=True)
    assert [item for item, one, other in pairs if one and not other] == []
    assert sum(lenient) > sum(strict) > 300 / step


@pytest.mark.parametrize(
    ("given", "wanted", "right"),
    [
        ("1.6", "1.6", True),
        ("1.58", "1.6", True),
        ("1.57079", "1.6", True),
        ("1.54", "1.6", False),
        ("2", "1.6", False),
        ("6.02e23", r"6.02 \times 10^{23}", True),
        ("6.0221e23", r"6.02 \times 10^{23}", True),
        ("6.03e23", r"6.02 \times 10^{23}", False),
        (r"\frac{\pi}{2}", "1.57", True),
        (r"\frac{\pi}{2}", "1.58", False),
        ("1000.4", "1000", False),
        ("41", "42", False),
        (r"\frac{1}{3}", "0.33", True),
        ("-1.58", "1.6", False),
        ("1.571 cm", "1.6", True),
        ("(1.571, 2)", "(1.6, 2)", True),
        ("(1.571, 2.4)", "(1.6, 2)", False),
        (r"5.04\%", r"5.0\%", True),
        (r"5.2\%", r"5.0\%", False),
        ("0.0504", r"5.0\%", True),
        ("0.08", r"5.0\%", False),
        (r"16.4\%", "0.16", True),
        (r"17\%", "0.16", False),
        ("6e23", r"6.02 \times 10^{23}", False),
        (r"4 \times 10^{-5}", r"4.2 \times 10^{-5}", False),
        ("0.0000421", r"4.2 \times 10^{-5}", True),
        ("1.6", "1.571", False),
        ("20", "18.7", False),
    ],
)
def test_a_decimal_reference_may_be_a_rounding(given: str, wanted: str, right: bool) -> None:
    """The answer rounds to the reference's significant digits; whole references are exact."""
    assert MathVerifier("qwen_boxed", "strict", rounding=True)(f"\\boxed{{{given}}}", wanted).correct is right


def test_without_rounding_digits_count() -> None:
    for given, wanted in (("1.58", "1.6"), ("6.0221e23", r"6.02 \times 10^{23}"), (r"\frac{\pi}{2}", "1.57")):
        assert not MathVerifier("qwen_boxed", "strict")(f"\\boxed{{{given}}}", wanted).correct
    assert MathVerifier("qwen_boxed", "strict", rounding=True).version == "math-strict-3+rounding"


@pytest.mark.parametrize(
    ("given", "wanted", "equal"),
    [
        ("7 below zero", "7", False),
        ("twice as much as 6", "6", False),
        ("half as long as the 30 of before", "30", False),
        ("there are twice as many, which is 12", "12", True),
        ("the 6th", "6", True),
        ("the 6th", "7", False),
        ("one hundred and five", "105", True),
        ("two thousand and one cats", "2001", True),
        ("one hundred and five", "100,5", False),
        ("half", "1/2", True),
        ("a quarter", "0.25", True),
        ("a third", "3", False),
        ("half", "2", False),
        ("9 out of 10", "9/10", True),
        ("9 out of 10", "9", False),
        ("1 in 6", "1/6", True),
        ("5 in", "5", True),
        (r"7 \\", "7", True),
    ],
)
def test_amounts_in_words(given: str, wanted: str, equal: bool) -> None:
    for name in ("strict", "lenient"):
        verdict = MathVerifier("r1_zero", name)(f"<answer>{given}</answer>", wanted)
        assert verdict.correct == equal
