"""The grader `study`: what it takes for equal, right or not, as the published evaluation's rules have it."""

from __future__ import annotations

import pytest

from rlvr.graders import Status
from rlvr.graders.math.grader import MathVerifier
from rlvr.graders.math.study.answers import answer_of, reference_of
from rlvr.graders.math.study.equality import by_strings
from rlvr.graders.math.study.grader import StudyVerifier
from rlvr.graders.math.study.notation import normalised
from rlvr.graders.math.study.number_words import in_digits


@pytest.mark.parametrize(
    ("text", "form"),
    [
        # \left, \right, \!, spaces and a full stop go; \dfrac and \tfrac are \frac
        (r" \left( 1 , \dfrac{1}{2} \right) . ", r"(1,\frac{1}{2})"),
        (r"1\!234", "1234"),
        (r"\begin{bmatrix}1\end{bmatrix}", r"\begin{pmatrix}1\end{pmatrix}"),
        (r"\begin{array}{cc}1\end{array}", r"\begin{pmatrix}1\end{pmatrix}"),
        # from the first \text{ on, where a brace ends the answer; but not the whole answer
        (r"5\text{ m}+6\text{ m}", "5"),
        (r"\text{Evelyn}", "Evelyn"),
        # units, and single letters that are some; in n and k none is seen, and none beside a digit
        ("12 miles", "12"),
        ("3 km", "3"),
        ("5m", "5m"),
        ("a+b", "+b"),
        ("n+k", "n+k"),
        ("m", "m"),  # nothing would be left
        (r"30^\circ", "30"),
        # words for numbers, whatever stands beside them
        ("twenty-one", "21"),
        ("one of 3", "1"),
        ("007", "7"),
        # per cent signs, dollars and "and" go without a trace
        (r"\$5\%", "5"),
        ("2 and 3", "23"),
        # names
        ("x=5", "5"),
        ("k = 5", "5"),
        ("abc=5", "abc=5"),
        (r"x\in[0,1]", "[0,1]"),
        # numbers
        ("3.00", "3"),
        ("3.00x", "3x"),
        ("3.50", "3.50"),
        (".5", "0.5"),
        ("2j", "2i"),
        # roots and fractions
        (r"\sqrt2", r"\sqrt{2}"),
        (r"\frac12", r"\frac{1}{2}"),
        (r"\frac1{72}", r"\frac{1}{72}"),
        (r"\frac{72}1", r"\frac{72}1"),
        ("5/2", r"\frac{5}{2}"),
        ("05/2", "05/2"),
        ("x/2", "x/2"),
        ("inf", r"\infty"),
        (r"(-\infty, \infty)", r"(-\infty,\infty)"),  # the line for it comes before the spaces go
    ],
)
def test_notation(text: str, form: str) -> None:
    assert normalised(text) == form


def test_units_stay_for_minerva() -> None:
    assert normalised("3 km", units=False) == "3km"


@pytest.mark.parametrize(
    ("words", "digits"),
    [
        ("seven", "7"),
        ("two hundred", "200"),
        ("two hundred five", "205"),
        ("three thousand four", "3004"),
        ("two point five", "2.5"),
        ("twenty five thousand", "25000"),
        ("million thousand", "million thousand"),  # no number before the scale
        ("thousand one million", "thousand one million"),
        ("five point five point five", "five point five point five"),
        ("point", "0"),
        ("twelve and one", "13"),
        ("ones", "ones"),
        ("x+1", "x+1"),
    ],
)
def test_number_words(words: str, digits: str) -> None:
    assert in_digits(words) == digits


@pytest.mark.parametrize(
    ("completion", "template", "answer"),
    [
        (r"so \boxed{3}, then \boxed{4}", "qwen_boxed", "4"),
        (r"<think> \boxed{3} </think> nothing", "qwen_boxed", "3"),
        (r"it is boxed in: $5$ or so", "qwen_boxed", "in:"),  # from the word to a dollar sign
        (r"\boxed{3", "qwen_boxed", "3"),
        (r"\boxed{3}. The user asks \boxed{4}", "qwen_boxed", "3"),  # "user" stops the generation
        (r"\boxed{3}. The user asks \boxed{4}", "plain", "4"),
        ("<answer>12 eggs</answer> 13", "r1_zero", "12"),
        ("7 is right. The answer is 8 eggs.", "plain", "8eggs"),
        ("The final answer is $9$. I hope it is correct.", "plain", "9"),
        ("There are 1,234 of 5", "plain", "5"),
        ("There are 1,234", "plain", "1234"),
        ("nothing", "plain", ""),
    ],
)
def test_where_the_answer_stands(completion: str, template: str, answer: str) -> None:
    assert answer_of(completion, template, "0", units=True) == answer  # type: ignore[arg-type]


def test_choices_are_looked_for_in_the_whole_completion() -> None:
    assert answer_of("Not B. So the answer is (C), not D", "plain", "C", units=True) == "C"
    assert answer_of("Surely A, or rather B", "plain", "C", units=True) == "B"
    assert answer_of(r"\boxed{A, and C}", "qwen_boxed", "AC", units=True) == "AC"


@pytest.mark.parametrize(
    ("given", "wanted", "equal"),
    [
        ("9999", "10000", True),  # 1e-4 of the larger
        ("9998", "10000", False),
        ("50", "0.5", True),  # the hundredfold
        ("0.5", "50", True),
        ("5", "0.5", False),
        ("1,2", "12", True),
        ("0.00001", "0", False),  # no absolute tolerance
        ("1e400", "2e400", True),  # both infinite
        ("nan", "nan", True),  # the same text
        ("ABC", "abc", True),
        ("(C) or so", "C", True),
        ("", "0", False),
        ("x", "y", None),
    ],
)
def test_what_strings_and_floats_decide(given: str, wanted: str, equal: bool | None) -> None:
    assert by_strings(given, wanted) is equal


@pytest.mark.parametrize(
    ("given", "wanted", "right"),
    [
        (r"\frac{12}{3}", r"\frac{1}{23}", True),  # the same without braces
        ("(1,2)", "[1,2]", True),
        ("(1,2)", "(2,1)", False),
        ("[1,2.0001]", "(1,2)", True),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{bmatrix}1\\2.00001\end{bmatrix}", True),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1\\3\end{pmatrix}", False),
        ("x+1=2", "x=1", False),  # equations beside values are not solved
        ("y=2x+1", "2x+1", True),
        ("2u-v=3", "v-2u=-3", True),
        ("2x-y=3", "y-2x=-3", False),  # "y=" goes wherever it stands, and "x=" leaves y-2-3
        (r"\frac{x^2-1}{x-1}", "x+1", True),
        ("(x+1)^2", "x^2+2x+1", True),
        (r"\sqrt{2}", "1.41421", True),
        (r"\sqrt{2}", "1.414", False),
        (r"\sqrt{2}", "1.413", False),
        ("5'", "5", True),  # the parser stops where it no longer understands
        (r"2\sqrt{2}", r"\sqrt{8}", True),
        (r"2\sqrt{2}", r"\sqrt{7}", False),
        (r"a+b", "c+b", True),  # a and c are units
        ("__import__('os')._exit(0)", "5", False),
    ],
)
def test_verdicts(given: str, wanted: str, right: bool) -> None:
    verdict = StudyVerifier("qwen_boxed")(rf"Hence \boxed{{{given}}}", wanted)
    assert verdict.status is (Status.CORRECT if right else Status.WRONG)


def test_it_differs_from_the_others_both_ways() -> None:
    study, lenient = StudyVerifier("qwen_boxed"), MathVerifier("qwen_boxed", "lenient")
    false, missed = (r"\boxed{9999}", "10000"), (r"\boxed{3, 2}", "2, 3")
    assert (study(*false).correct, lenient(*false).correct) == (True, False)
    assert (study(*missed).correct, lenient(*missed).correct) == (False, True)


def test_no_answer_and_too_long_a_one_are_unparsed() -> None:
    assert StudyVerifier("plain")("nothing", "5").status is Status.UNPARSED
    assert StudyVerifier("plain")(rf"\boxed{{{'x+' * 3000}", "5").status is Status.UNPARSED
    assert StudyVerifier("qwen_boxed")("the answer is 5", "5").misplaced


def test_references_are_brought_to_the_same_form() -> None:
    assert reference_of(r"$\dfrac{1}{2}$ km", units=True) == r"\frac{1}{2}"
