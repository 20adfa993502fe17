"""The own parser of formulas reads what latex2sympy reads, or leaves the text to it."""

import pytest

pytest.importorskip("math_verify")

import sympy

from rlvr.graders.math.equality.formulas import formula
from rlvr.graders.math.equality.symbolic import _by_latex2sympy, _exactly, _same_equation

READ = (
    "-x^2", "2^{-x}", "x(x+1)", "2/3", "a/b/c", "a/b\\cdot c", "2x/3", "3(-2)", "1.5x", "-2^2", "(-2)^2",
    "(-8)^{1/3}", "xy^2z", "x_1x_2", "a_{12}", "\\theta_1t", "\\lambda x", "\\pi r^2", "\\pi(x+1)",
    "e^{-x^2/2}", "\\frac{a}{b}c", "(\\frac{a}{b})^2", "\\frac{\\sqrt{3}}{2}", "\\sqrt[3]{x+1}",
    "\\sqrt{2}(x+1)", "[x+1](y-1)", "n!", "2n!", "(n-1)!n", "n!^2", "\\binom{n}{2}x", "|x-1|+|x|",
    "\\lfloor\\frac{n}{2}\\rfloor+1", "\\sin x", "\\sin2x", "\\sin^2x", "\\sin30^\\circ",
    "\\sin(x)\\cos(x)", "2\\sin x\\cos x", "\\tan\\frac{\\pi}{3}", "\\arctan\\frac{1}{2}", "\\ln(e^2)",
    "\\ln x\\ln y", "\\log x", "\\log_2 8", "\\log_{10}100", "x\\ln x-x", "(2+i)(2-i)", "\\frac{1+i}{2}",
    "e^{i\\pi}", "45^\\circ", "2^{2010}-2^{2009}", "100!", "a^{b^c}", "y=2x+1", "x^2+y^2=4",
)  # fmt: skip
# More than one reading, more than is worked out, or no formula of these kinds.
LEFT = (
    "1/2x", "a/bc", "f(x)", "x(y)", "u(t)", "x^2(y)", "\\delta(t)", "dx", "\\frac{dy}{dx}", "\\sin x^2",
    "\\sin xy", "\\sin x/2", "\\sin^{-1}x", "\\tan(x)^2", "x+i", "v_{i}", "E_1", "e_1", "I", "x^23", "x2",
    "n!n!!", "(n+1)!^2", "x^{2}!", "2^3^2", "2--3", "1/0", "\\frac{1}{0}", "x+", "", "(x", "x)", "1 2",
    "1,2", "\\infty", "\\text{x}", "9^{9^{9}}", "(9^{9})^{9999}", "10^{5000}", "2000!", "\\binom{5000}{20}",
    "5.5!", "(x+1", "\\sqrt[0]{2}", "\\log_{1}2", "a=b=c", "{x}", "\\sum_{k=1}^{n}k",
    "(" * 60 + "x" + ")" * 60,
)  # fmt: skip


@pytest.mark.parametrize("text", READ)
def test_what_is_read_is_what_latex2sympy_reads(text):
    own, other = formula(text), _by_latex2sympy(text)
    compared = _same_equation if isinstance(own, sympy.Eq) else _exactly
    assert compared(own, other)
    assert own.free_symbols == other.free_symbols


@pytest.mark.parametrize("text", LEFT)
def test_what_is_left_to_latex2sympy(text):
    assert formula(text) is None
