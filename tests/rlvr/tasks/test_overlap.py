"""Copies of training problems in other spelling, by hand and in the published files."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import DATA

from rlvr.graders import Status, StringVerifier
from rlvr.tasks import GeneratedProblems, Problem, Task, build_task, overlap
from rlvr.tasks.overlap import copies, text_key, without_copies

VERIFIER = StringVerifier(lambda text, known: (Status.WRONG, text), "toy-1")
TEMPLATE = "User: {} Assistant:"
ASKED = r"Let $n>1$ be an integer. Find all $x$ such that $x^{2}+n x+12=0$ has a root in $\mathbb{Q}$."


def task(train: list[str], test: list[str]) -> Task:
    made = [
        [Problem(f"{i}", TEMPLATE.format(t), None) for i, t in enumerate(texts)] for texts in (train, test)
    ]
    return Task("toy", made[0], made[1], VERIFIER, "plain")


OTHERS = ["How many apples are there in 3 boxes of 12 apples?", "Compute the sum of the first 100 integers."]


@pytest.mark.parametrize(
    ("text", "is_copy"),
    [
        (ASKED, True),
        (ASKED.replace("$", "").upper().replace("  ", " "), True),
        (
            r"Let \(n > 1\) be an integer. Find all \(x\) such that \(x^2 + nx + 12 = 0\) has a root in $Q$.",
            True,
        ),
        (ASKED.replace("12", "15"), False),  # another problem
        ("Let n be a prime. How many roots has x^2 + n x in the integers?", False),
        ("How many apples are there in 4 boxes of 12 apples?", False),
        ("", False),
        ("$$", False),
    ],
)
def test_by_hand(text: str, is_copy: bool) -> None:
    trained = task([ASKED, *OTHERS, "", "$"], [])
    measured = task([], [text, "Who was first?"])
    found = [copy.problem for copy in copies(trained, measured)]
    assert found == (["0"] if is_copy else [])
    assert len(without_copies(trained, measured).test) == 2 - is_copy


def test_other_scripts_are_read() -> None:
    trained = task(["\u6c42\u89e3\u65b9\u7a0b x + 3 = 15 \u7684\u6839", OTHERS[0]], [])
    measured = task(
        [], ["\u6c42\u89e3\u65b9\u7a0b x+3=15 \u7684\u6839", "\u5c0f\u660e\u6709\u4e94\u4e2a\u82f9\u679c"]
    )
    assert [copy.of for copy in copies(trained, measured)] == ["0"]


def test_countdown_shares_nothing_and_generated_problems_are_left_out() -> None:
    three = build_task("countdown:3")
    assert copies(three, build_task("countdown:4")) == copies(three, three) == []

    class Endless(GeneratedProblems):
        identity = "endless"

        def __len__(self) -> int:
            return 10**9

        def __getitem__(self, i: object) -> Problem:  # type: ignore[override]
            raise AssertionError("too many to list")

    measured = task([], [ASKED, OTHERS[0]])
    assert copies(Task("endless", Endless(), [], VERIFIER), measured) == []


@pytest.mark.parametrize(("name", "count"), [("omni_math_rule", 5), ("olympiadbench", 16), ("math500", 2)])
def test_the_published_files(name: str, count: int) -> None:
    if not (Path(DATA) / "math").is_dir():
        pytest.skip(f"{DATA} is not there")
    trained = build_task("omni_math_rule", source=DATA)
    found = copies(trained, build_task(name, source=DATA))
    assert len(found) == count and min(copy.alike for copy in found) > 0.75


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


def test_the_same_problems_are_compared_once() -> None:
    """The check of a run, its card and its probe each build their tasks anew."""
    overlap._copies.cache_clear()
    three = [build_task("countdown:3", train_problems=40, test_problems=9) for _ in range(2)]
    assert [copies(three[0], task) for task in three] == [[], []]
    assert overlap._copies.cache_info().misses == 1
    assert copies(three[0], build_task("countdown:3", train_problems=40, test_problems=8)) == []
    assert overlap._copies.cache_info().misses == 2
