"""Which texts are one problem: spelling aside, never an operator, a bracket or where a number ends."""

from __future__ import annotations

import pytest

from rlvr.tasks.overlap import text_key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 6+1?", "what is  6 + 1"),
        ("Let $x$ be", r"Let \(x\) be"),
        ("Let x be,\n then", "Let x be then."),
        (r"\left(x+1\right)", "(x+1)"),
        ("3\N{MINUS SIGN}2", "3-2"),
        (r"\text{m}", "m"),
        ("a_{1}", "a_1"),
    ],
)
def test_the_same_problem(one: str, other: str) -> None:
    assert text_key(one) == text_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("6+1", "6-1"),
        ("y=8", "y=-8"),
        ("numbers [1, 23]", "numbers [12, 3]"),
        ("x = .5", "x = 5"),
        ("1.5 m", "15 m"),
        ("(a+b)c", "a+(bc)"),
        ("x < 2", "x > 2"),
        ("3!", "3?"),
        ("|x|", "x"),
        ("2 and 3", "2 or 3"),
    ],
)
def test_other_problems(one: str, other: str) -> None:
    assert text_key(one) != text_key(other)
