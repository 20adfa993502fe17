"""The grader of procedural answers: scores by hand, and where in a completion the answer stands."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from rlvr.graders.plain_data import encode
from rlvr.graders.procedural.grader import ProceduralVerifier, extract_answer
from rlvr.sandbox import choose

pytestmark = pytest.mark.skipif(
    find_spec("reasoning_gym") is None, reason="needs reasoning-gym (make install-test)"
)


@pytest.mark.parametrize(
    ("name", "entry", "answer", "right"),
    [
        ("complex_arithmetic", {"answer": "", "metadata": {"result": [8, 3]}}, "8+3i", True),
        ("complex_arithmetic", {"answer": "", "metadata": {"result": [8, 3]}}, "nan", False),
        ("complex_arithmetic", {"answer": "", "metadata": {"result": [8, 3]}}, "NaN + NaNi", False),
        ("number_sorting", {"answer": "[1, 3]", "metadata": {"direction": "ascending"}}, "[1, 3]", True),
        ("number_sorting", {"answer": "[1, 3]", "metadata": {"direction": "ascending"}}, "[NaN, NaN]", False),
        (
            "number_sorting", {"answer": "[1, 3]", "metadata": {"direction": "ascending"}}, "['nan', 'nan']",
            False,
        ),
        ("coin_flip", {"answer": "0.234375"}, "15/64", True),
        ("coin_flip", {"answer": "0.234375"}, "0.23440", True),
        ("coin_flip", {"answer": "0.234375"}, "0.23", False),
        ("coin_flip", {"answer": "0.234375"}, "0", False),
        ("game_of_life_halting", {"answer": "False"}, "False", True),
        ("game_of_life_halting", {"answer": "False"}, "false", True),
        ("game_of_life_halting", {"answer": "False"}, "True", False),
        ("game_of_life_halting", {"answer": "True"}, "yes", False),
        ("puzzle24", {"answer": "", "metadata": {"numbers": [1, 3, 5, 9]}}, "1*3*5 + 9", True),
        ("puzzle24", {"answer": "", "metadata": {"numbers": [1, 3, 5, 9]}}, "6*4*1*1", False),
        ("puzzle24", {"answer": "", "metadata": {"numbers": [1, 3, 5, 9]}}, "1*3*5*9 - 111", False),
        ("countdown", {"metadata": {"numbers": [4, 5], "target": 20}}, "4*5", True),
        ("countdown", {"metadata": {"numbers": [4, 5], "target": 20}}, "(5)*+4.0", False),
        ("countdown", {"metadata": {"numbers": [4, 5], "target": 21}}, "4*5 + x/x", False),
        ("countdown", {"metadata": {"numbers": [4, 5], "target": 21}}, "4*5 + E/E", False),
        ("countdown", {"metadata": {"numbers": [4, 5], "target": 21}}, "4*5 + cos(x - x)", False),
        ("countdown", {"metadata": {"numbers": [4, 5], "target": 1024}}, "4**5", False),
        ("simple_integration", {"metadata": {"variable": "x", "integrand": "2*x"}}, "x**2 + C", True),
        ("simple_integration", {"metadata": {"variable": "x", "integrand": "2*x"}}, "x*(x + 1) - x", True),
        ("simple_integration", {"metadata": {"variable": "x", "integrand": "2*x"}}, "x**3 + C", False),
        (
            "simple_integration", {"metadata": {"variable": "x", "integrand": "2*x"}}, "integrate(2*x, x)",
            False,
        ),
        (
            "intermediate_integration", {"metadata": {"variable": "u", "integrand": "exp(u)"}}, "C + exp(u)",
            True,
        ),
        ("polynomial_multiplication", {"answer": "x**2 - 1"}, "-1 + x*x", True),
        ("polynomial_multiplication", {"answer": "x**2 - 1"}, "(x - 1)*(x + 1)", False),
        ("bitwise_arithmetic", {"metadata": {"problem": "(0x3a + 0x4)"}}, "0x3e", True),
        ("bitwise_arithmetic", {"metadata": {"problem": "(0x3a + 0x4) << 1"}}, "124", True),
        ("bitwise_arithmetic", {"metadata": {"problem": "(0x3a + 0x4)"}}, "0x3f", False),
    ],
)  # fmt: skip
def test_scores_by_hand(
    scorer: ProceduralVerifier, name: str, entry: dict[str, Any], answer: str, right: bool
) -> None:
    scorer.name = name
    assert scorer(f"<answer>{answer}</answer>", {"entry": encode(entry)}).correct is right


@pytest.fixture(scope="module")
def scorer() -> Iterator[ProceduralVerifier]:
    """For any data set, whose name a test sets."""
    verifier = ProceduralVerifier("countdown", choose(), seconds=10.0, workers=1)
    yield verifier
    verifier.pool.close()


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("<answer> 5 </answer>", "5"),
        ("<answer>4</answer> <answer>5", "5"),
        ("answer: 4\nAnswer:  5\nsurely", "5"),
        (" 5 ", " 5 "),
        ("<answer></answer>", None),
    ],
)
def test_extraction(completion: str, answer: str | None) -> None:
    assert extract_answer(completion, whole_text=True) == (answer and answer.strip())
    assert extract_answer("5", whole_text=False) is None
