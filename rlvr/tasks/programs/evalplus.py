"""HumanEval+ and MBPP+: functions to write, with the base and the plus tests of EvalPlus.

Liu et al., arXiv 2305.01210; the files of the EvalPlus releases, or the same rows from the hub. The tests
are inputs; the outputs that are right are those of the rows' own solutions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field

from rlvr.graders.code.grader import CodeVerifier
from rlvr.graders.plain_data import encode
from rlvr.tasks import Problem, Task
from rlvr.tasks.confined import confinement_for
from rlvr.tasks.programs.evalplus_tests import CannotRead, residual_of, restored_inputs, special_oracle
from rlvr.tasks.sources import BadRows, Row, RowError, load_problems
from rlvr.tasks.templates import TemplateName, render

CodeTemplate = Literal["continuation"] | TemplateName
Tests = Literal["base", "plus"]
Seconds = Annotated[float, Field(gt=0)]

QUESTION = (
    "Write a Python program that completes this:\n```python\n{prompt}\n```\n"
    "Give all of it in one ```python block."
)
ROOT_TOLERANCE = 1e-4
# For the cost of a recipe on a machine without the data.
PUBLISHED_PROBLEMS = {"humaneval_plus": 164, "mbpp_plus": 378}


def humaneval_plus(
    source: str | None = None,
    template: CodeTemplate = "r1_zero",
    tests: Tests = "plus",
    test_seconds: Seconds = 4.0,
    problem_seconds: Seconds = 20.0,
    allow_unsafe: bool = False,
    bad_rows: BadRows = "stop",
) -> Task:
    """HumanEval+: 164 functions to complete, to test on. tests: plus are the base tests and more."""
    return _task(
        "humaneval_plus", _humaneval_reference, source, template, tests, test_seconds, problem_seconds,
        allow_unsafe, bad_rows,
    )  # fmt: skip


def mbpp_plus(
    source: str | None = None,
    template: CodeTemplate = "r1_zero",
    tests: Tests = "plus",
    test_seconds: Seconds = 4.0,
    problem_seconds: Seconds = 20.0,
    allow_unsafe: bool = False,
    bad_rows: BadRows = "stop",
) -> Task:
    """MBPP+: 378 functions to write from a sentence and an example, to test on."""
    return _task(
        "mbpp_plus", _mbpp_reference, source, template, tests, test_seconds, problem_seconds,
        allow_unsafe, bad_rows,
    )  # fmt: skip


def _task(
    name: str,
    reference: Callable[[Row, Tests], dict[str, Any]],
    source: str | None,
    template: CodeTemplate,
    tests: Tests,
    test_seconds: float,
    problem_seconds: float,
    allow_unsafe: bool,
    bad_rows: BadRows,
) -> Task:
    confinement = confinement_for(name, "runs programs that a model wrote", allow_unsafe)

    def problem(row: Row) -> Problem:
        try:
            made = reference(row, tests)
        except (CannotRead, SyntaxError) as error:
            raise RowError(str(error)) from None
        prompt = row.text("prompt")
        if template != "continuation":
            prompt = render(template, QUESTION.replace("{prompt}", prompt.strip()))
        return Problem(made["id"], prompt, made)

    loaded = load_problems(name, source, None, problem, bad_rows)
    verifier = CodeVerifier(confinement, test_seconds, problem_seconds)
    return Task(name, [], loaded.problems, verifier, template, loaded.skipped)


def _reference(row: Row, tests: Tests, restore: Callable[[list[Any]], list[Any]]) -> dict[str, Any]:
    """What both data sets share."""
    inputs = list(row.value("base_input"))
    if tests == "plus":
        inputs += list(row.value("plus_input"))  # one row of MBPP+ has {} for none
    return {
        "id": row.text("task_id"),
        "prefix": "",
        "entry_point": row.text("entry_point"),
        "inputs": [encode(restore(arguments)) for arguments in inputs],
        "expected": None,
        "solution": row.text("prompt") + row.text("canonical_solution"),
        "comparison": "equal",
        "tolerance": float(row.value("atol")),
    }


def _humaneval_reference(row: Row, tests: Tests) -> dict[str, Any]:
    reference = _reference(row, tests, lambda arguments: arguments)
    # The completion goes on where the prompt ends, or defines the function again below it.
    reference["prefix"] = row.text("prompt")
    if helper := residual_of(row.text("test")):
        reference |= {"comparison": "root", "helper": helper, "tolerance": ROOT_TOLERANCE}
    return reference


def _mbpp_reference(row: Row, tests: Tests) -> dict[str, Any]:
    entry_point = row.text("entry_point")
    restore = restored_inputs(row.text("assertion"), entry_point, row.value("base_input"))
    reference = _reference(row, tests, restore)
    return reference | special_oracle(entry_point)
