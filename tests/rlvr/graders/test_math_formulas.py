"""The reader of plain formulas against the parser that it stands in for."""

import json
from pathlib import Path

import pytest
import sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, latex2sympy

from rlvr.graders.math.equality.compare import Rules, compare
from rlvr.graders.math.equality.formulas import NotPlain, formula
from rlvr.graders.math.equality.symbolic import repaired

CORPORA = Path(__file__).parent / "corpora"
AS_WRITTEN = ConversionConfig(lowercase_symbols=False, interpret_as_mixed_fractions=False)
# One or two of each rule of the grammar; the corpora's formulas are the slow test.
PLAIN = [
    r"2-x-3y", r"x--2+-y", r"-2^{x}", r"x/2y\cdot z", r"2/3/4", r"\frac{a-b}{-2}\frac{1}{x}", r"x_1^2x_{12}y",
    r"10!/(3!7!)", r"(n+1)!x", r"2^{3^{x}}", r"x(y+1)(x-1)", r"\sqrt[3]{x}y\sqrt{2}",
    r"xe^{2x}+e^2y-e",
    r"\pi r^2+\theta_1", r"|x-1|+2", r"\lfloor\frac{n}{2}\rfloor+\lceil n\rceil x", r"\binom{n}{2}^2x",
    r"2I+x",
    r"\sin2xy\cos^{2}y-\tan^{-1}(1)", r"\sin\sqrt{2}x", r"\sin(x)+\cos(-x)\ln x", r"\log_2 3+\log x",
    r"\log_{10}2+\ln\frac{1}{2}", r"x+y=1", r".5x+2.50-007", r"\frac{(x)}{0}", r"2^x y", r"\exp(2x)",
]  # fmt: skip
# What the parser may read as a function, a differential, a set, a list or a sum, or cannot read.
LEFT = [
    "f(x)", "x(2)", "x_1(y)", "dx", r"d\pi", "{x}", "2 3", "x^2 3", "1,5", "5.", "2E3", "x^2^3", "(x)^2!", "x<1",
    "||x||", "x|y", r"\cos x/2", r"\sin(x)y", r"\sin(x)^2", r"\ln^{-1}x", "x=y=z", "(x", "x)", "", "x+",
    r"\gamma",
    r"\infty", r"\overline{AB}", r"\arctan^{-1}x", "x'",
]  # fmt: skip


def tree(found: object) -> str:
    return sympy.srepr(found, order="none")


def parsed(text: str) -> str:
    return tree(latex2sympy(text, is_real=True, normalization_config=None, conversion_config=AS_WRITTEN))


def test_a_plain_formula_is_read_as_the_parser_reads_it():
    differ = {text for text in PLAIN if tree(formula(text, real=True)) != parsed(text)}
    assert not differ


@pytest.mark.parametrize("text", LEFT)
def test_what_may_be_read_in_two_ways_is_left_to_the_parser(text):
    with pytest.raises(NotPlain):
        formula(text, real=True)


def test_two_numbers_beside_each_other_are_multiplied():
    assert formula("(2)(3)", real=True).doit() == 6  # a mixed number for the parser: 5


def test_a_formula_nested_beyond_the_stack_raises_what_the_worker_expects():
    with pytest.raises(RecursionError):
        formula("(" * 2000 + "x" + ")" * 2000, real=True)


@pytest.mark.slow
def test_all_formulas_of_the_corpora_are_read_as_the_parser_reads_them():
    asked: dict[str, None] = {}

    def same(one: str, other: str) -> None:
        asked.update(dict.fromkeys((one, other)))

    for path in (CORPORA / "math_equal.jsonl", CORPORA / "math_different.jsonl"):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            compare(row["given"], row["wanted"], Rules(), same)
    read = {}
    for text in map(repaired, asked):
        try:
            read[text] = tree(formula(text, real=True))
        except NotPlain:
            continue
    assert len(read) > 400
    assert not {text for text, found in read.items() if found != parsed(text)}
