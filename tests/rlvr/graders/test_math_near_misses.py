"""Formulas that agree at many points and yet differ: none is taken for the other."""

from __future__ import annotations

import random

import pytest

from rlvr.graders.math.equality.symbolic import equal
from rlvr.graders.math.grader import MathVerifier

# Values of x at which a comparison at a few points, or on a grid, would look.
POINTS = {
    "97ths": [r"\frac{298}{97}", r"\frac{316}{97}", r"-\frac{298}{97}"],
    "whole": ["0", "1", "-1", "2", "3"],
    "small fractions": [r"\frac{1}{2}", r"\frac{1}{3}", r"\frac{3}{4}"],
    "decimals": ["0.1", "1.1", "2.3", "3.7"],
    "up to 19": [str(n) for n in range(1, 20)],
}
FORMULAS = ["x", "2x+1", "x^2-3", r"\frac{1}{x+5}", r"\sqrt{x+7}", r"\sin x", "e^{x}", r"\lfloor x \rfloor"]


def vanishing(points: list[str]) -> str:
    """A product that is 0 at the points."""
    return "".join(f"(x-({point}))" for point in points)


NEAR_MISSES = [
    *((f"{formula}+{vanishing(points)}", formula) for formula in FORMULAS for points in POINTS.values()),
    *((f"({formula})(1+{vanishing(points)})", formula) for formula in FORMULAS for points in POINTS.values()),
    *((rf"{formula}+\sin({n}\pi x)", formula) for formula in FORMULAS[:4] for n in ("97", "2520", "1000")),
    *((f"{n}+{vanishing(points).replace('x', n)}", n) for n in ("n", "k") for points in POINTS.values()),
    (
        "n!+(n-3)(n-4)(n-5)(n-6)(n-7)(n-8)(n-9)(n-10)(n-11)(n-12)(n-13)(n-14)(n-15)(n-16)(n-17)(n-18)(n-19)",
        "n!",
    ),
    ("x+(x-1)(y-1)(z-1)", "x"),
    ("y+x(x-1)=x(x-1)(x-2)", "y=x(x-1)"),
    ("x^2+y^2+(x-2)(x-3)=4", "x^2+y^2=4"),
    (r"x+(x-\frac{298}{97})(x-\frac{316}{97})(x+\frac{298}{97})", "x"),
]


def test_there_are_a_hundred() -> None:
    assert len(NEAR_MISSES) >= 100


@pytest.mark.parametrize("lenient", [False, True], ids=["strict", "lenient"])
def test_near_misses_are_different(lenient: bool) -> None:
    rng = random.Random(0)
    chosen = NEAR_MISSES if not lenient else rng.sample(NEAR_MISSES, 40)
    assert [pair for pair in chosen if equal(*pair, lenient)] == []


@pytest.mark.parametrize("formula", FORMULAS)
def test_formulas_are_themselves_in_another_form(formula: str) -> None:
    assert equal(f"{formula}+(x-1)-x+1", formula, False)
    assert equal(rf"\frac{{2({formula})}}{{2}}", formula, False)


def test_the_verifier_refuses_one() -> None:
    completion = r"\boxed{x+(x-\frac{298}{97})(x-\frac{316}{97})(x+\frac{298}{97})}"
    for verifier in (MathVerifier("qwen_boxed", "strict"), MathVerifier("qwen_boxed", "lenient")):
        assert not verifier(completion, "x").correct
