"""Programs that multiply, problems that they solve, and how a verdict on them is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rlvr.graders import Status
from rlvr.graders.code.grader import CodeVerifier
from rlvr.sandbox import ConfinementError, choose

FUNCTION = {
    "id": "area", "prefix": "", "entry_point": "area", "inputs": [[3, 5], [2, 7]], "expected": [15, 14],
    "solution": None, "comparison": "equal", "tolerance": 0.0,
}  # fmt: skip
CONTINUED = FUNCTION | {"prefix": 'def area(width, height):\n    """Of a rectangle."""\n'}
PRELUDED = FUNCTION | {"prefix": "from math import *\nfrom collections import *\n"}
INPUT = FUNCTION | {"entry_point": None, "inputs": ["3 5", "2 7"], "expected": ["15", "14"]}
RIGHT = "def area(width, height):\n    return width * height\n"
OTHER = "def area(width, height):\n    return width + height\n"
READS = "a, b = map(int, input().split())\nprint(a * b)\n"


def program_verifier() -> Iterator[CodeVerifier]:
    """For a fixture; skips where nothing confines."""
    try:
        confinement = choose()
    except ConfinementError as error:
        pytest.skip(str(error))
    made = CodeVerifier(confinement, test_seconds=3.0, problem_seconds=6.0, workers=1)
    yield made
    made.pool.close()


def fenced(code: str, info: str = "python", fence: str = "```") -> str:
    return f"{fence}{info}\n{code}{fence}\n"


def check(verifier: CodeVerifier, completion: str, reference: dict[str, Any], status: Status) -> None:
    verdict = verifier(completion, reference)
    assert verdict.status is status, verdict.extracted
