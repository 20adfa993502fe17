"""What a row means for a verifier: the question, the reference, and how a right completion looks."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from rlvr.graders.answers.schema import SchemaError, check
from rlvr.graders.answers.texts import chosen_of, number_of
from rlvr.graders.math.reading.boxes import boxed
from rlvr.graders.math.reading.notation import LONGEST_ANSWER, canonical
from rlvr.graders.plain_data import encode
from rlvr.tasks.data.columns import Columns, present
from rlvr.tasks.sources import Row, RowError

BuiltIn: TypeAlias = Literal["math", "exact", "choice", "number", "code", "regex", "json_schema"]
MARK = "####"
_CALL = "assert {name}(...) == value"


@dataclass(frozen=True, slots=True)
class Parts:
    """What a row says. answer: as a completion would write it; solution: worked, where there is one."""

    question: str
    reference: Any
    answer: str
    solution: str | None = None


def needed(verifier: str) -> tuple[str, ...]:
    """The parts that every row must have for a verifier."""
    of = {"choice": ("problem", "answer", "choices"), "code": ("problem", "tests")}
    return of.get(verifier, ("problem", "answer"))


def parts_of(row: Row, columns: Columns, verifier: str) -> Parts:
    """Raises RowError for a row that the verifier cannot use."""
    question = row.text(str(columns.problem))
    made = _MAKERS.get(verifier, _plugin)(row, columns, question)
    if made.solution is None and present(row.values, columns.solution):
        return Parts(made.question, made.reference, made.answer, row.text(str(columns.solution)))
    return made


def _math(row: Row, columns: Columns, question: str) -> Parts:
    column = str(columns.answer)
    if isinstance(row.value(column), list):
        raise RowError(f"column {column!r} is a list; of several answers exact, number and regex take any")
    text = row.text(column)
    answer, solution = final_answer(text)
    if len(answer) > LONGEST_ANSWER or not canonical(answer):
        what = f"{answer!r:.60}, which is blank or above {LONGEST_ANSWER} characters"
        raise RowError(f"column {column!r} is {what}")
    return Parts(question, answer, answer, solution)


def final_answer(text: str) -> tuple[str, str | None]:
    r"""The answer at the end of a worked solution, after the last #### or in the last \boxed{}, and what
    stands before it; the text itself, and None, where neither stands in it."""
    head, mark, tail = text.rpartition(MARK)
    if mark:
        return tail.strip(), head.strip() or None
    if "boxed" in text and (inside := boxed(text)):
        return inside, text if len(text) > 2 * len(inside) + 20 else None
    return text.strip(), None


def _texts(row: Row, column: str) -> str | list[str]:
    """One text, or several of which each is right."""
    value = row.value(column)
    if not isinstance(value, list):
        return row.text(column)
    if not value:
        raise RowError(f"column {column!r} is an empty list")
    return [Row(row.number, {column: item}).text(column) for item in value]


def _exact(row: Row, columns: Columns, question: str) -> Parts:
    texts = _texts(row, str(columns.answer))
    return Parts(question, texts, texts if isinstance(texts, str) else texts[0])


def _number(row: Row, columns: Columns, question: str) -> Parts:
    column = str(columns.answer)
    texts = _texts(row, column)
    listed = [final_answer(text)[0] for text in ([texts] if isinstance(texts, str) else texts)]
    if wrong := [text for text in listed if number_of(text) is None]:
        raise RowError(f"column {column!r} is {wrong[0]!r:.60}, which is no number")
    solution = final_answer(texts)[1] if isinstance(texts, str) else None
    return Parts(question, listed[0] if isinstance(texts, str) else listed, listed[0], solution)


def _regex(row: Row, columns: Columns, question: str) -> Parts:
    column = str(columns.answer)
    texts = _texts(row, column)
    for pattern in [texts] if isinstance(texts, str) else texts:
        try:
            re.compile(pattern)
        except re.error as error:
            raise RowError(f"column {column!r} is {pattern!r:.60}, no regular expression: {error}") from None
    return Parts(question, texts, "")


def _schema(row: Row, columns: Columns, question: str) -> Parts:
    column = str(columns.answer)
    value = row.value(column)
    try:
        schema = json.loads(value) if isinstance(value, str) else value
        check(schema)
    except (ValueError, RecursionError) as error:  # SchemaError is one
        what = "" if isinstance(error, SchemaError) else "no JSON: "
        raise RowError(f"column {column!r}: {what}{error}") from None
    return Parts(question, schema, "")


def _choice(row: Row, columns: Columns, question: str) -> Parts:
    texts, labels = _choices(row, columns.choices)
    if not 2 <= len(texts) <= 26:
        raise RowError(f"there are {len(texts)} choices; from 2 to 26 can be lettered")
    column = str(columns.answer)
    value = row.value(column)
    index = _index(value if isinstance(value, int) else row.text(column), texts, labels)
    if index is None:
        what = f"none of the {len(texts)} choices by letter, number or text"
        raise RowError(f"column {column!r} is {value!r:.60}, {what}")
    lettered = "\n".join(f"({chr(65 + i)}) {text}" for i, text in enumerate(texts))
    return Parts(f"{question}\n{lettered}", {"choices": texts, "answer": index}, chr(65 + index))


def _choices(row: Row, column: str | tuple[str, ...] | None) -> tuple[list[str], list[str]]:
    """The texts, and their labels where the data has some: a list, {"text": [...], "label": [...]}, a JSON
    list as text, or a column for each."""
    if isinstance(column, tuple):
        return [row.text(one) for one in column], list(column)
    value = row.value(str(column))
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise RowError(f"column {column!r} is a text that is no JSON list: {value!r:.60}") from None
    labels: list[str] = []
    if isinstance(value, dict):
        labels = [str(label) for label in value.get("label", ())]
        value = value.get("text")
    if not isinstance(value, list):
        raise RowError(f"column {column!r} is {value!r:.60}, not a list of choices")
    return [Row(row.number, {str(column): item}).text(str(column)) for item in value], labels


def _index(answer: str | int, texts: Sequence[str], labels: Sequence[str]) -> int | None:
    """The choice that an answer names: by a label of the data, its letter or text, or its number from 0."""
    if str(answer).strip() in labels:
        return labels.index(str(answer).strip())
    if isinstance(answer, int) and not isinstance(answer, bool) and str(answer) not in texts:
        return answer if 0 <= answer < len(texts) else None
    if (index := chosen_of(str(answer), texts)) is not None:
        return index
    digits = str(answer).strip()
    return int(digits) if digits.isdecimal() and int(digits) < len(texts) else None


def _code(row: Row, columns: Columns, question: str) -> Parts:
    """Tests are {"input", "output"} texts for programs, or assertions, or calls with their values."""
    column = str(columns.tests)
    tests = row.value(column)
    if isinstance(tests, str) and tests.lstrip().startswith(("[", "{")):
        try:
            tests = json.loads(tests)
        except ValueError as error:
            raise RowError(f"column {column!r} is no JSON: {error}") from None
    name = row.text(str(columns.entry_point)) if present(row.values, columns.entry_point) else None
    if isinstance(tests, list) and tests and all(isinstance(test, str) for test in tests):
        tests = "\n".join(tests)
    if isinstance(tests, str):
        name, inputs, expected = _asserted(tests, name, column)
    else:
        inputs, expected = _listed(tests, name, column)
    solution = row.text(str(columns.solution)) if present(row.values, columns.solution) else None
    reference = {
        "id": row.id, "prefix": "", "entry_point": name, "inputs": inputs, "expected": expected,
        "solution": None, "comparison": "sequence", "tolerance": 0.0,
    }  # fmt: skip
    return Parts(question, reference, f"```python\n{solution}\n```" if solution else "", None)


def _listed(tests: Any, name: str | None, column: str) -> tuple[list[Any], list[Any]]:
    """Inputs and outputs: texts where no function is named, else argument lists and values, encoded."""
    if not isinstance(tests, list) or not tests:
        raise RowError(f"column {column!r} is {tests!r:.60}, not a list of tests")
    inputs, expected = [], []
    for test in tests:
        if not isinstance(test, Mapping) or not {"input", "output"} <= test.keys():
            what = f"{test!r:.60}; a test is {{input, output}}, or an assert"
            raise RowError(f"column {column!r} has the test {what}")
        if name is None and not (isinstance(test["input"], str) and isinstance(test["output"], str)):
            raise RowError(
                f"column {column!r}: input and output of a program are texts; of a function, name it in "
                "task.columns.entry_point and give its arguments as a list"
            )
        given = test["input"]
        listed = given if isinstance(given, list) else [given]
        inputs.append(given if name is None else [encode(value) for value in listed])
        expected.append(test["output"] if name is None else encode(test["output"]))
    return inputs, expected


def _asserted(code: str, name: str | None, column: str) -> tuple[str, list[Any], list[Any]]:
    """From lines such as assert f(1, [2]) == 3, with literals on both sides."""
    inputs, expected = [], []
    try:
        for node in ast.parse(code).body:
            test = node.test if isinstance(node, ast.Assert) else None
            if not (
                isinstance(test, ast.Compare) and isinstance(test.left, ast.Call)
                and isinstance(test.left.func, ast.Name) and isinstance(test.ops[0], ast.Eq)
                and name in (None, test.left.func.id)
            ):  # fmt: skip
                raise RowError(f"column {column!r} has {ast.unparse(node)!r:.60}; read are lines {_CALL}")
            name = test.left.func.id
            inputs.append([encode(ast.literal_eval(argument)) for argument in test.left.args])
            expected.append(encode(ast.literal_eval(test.comparators[0])))
    except (SyntaxError, ValueError, TypeError, RecursionError) as error:
        if isinstance(error, RowError):
            raise
        raise RowError(f"column {column!r}: read are lines {_CALL} with literal arguments: {error}") from None
    if name is None or not inputs:
        raise RowError(f"column {column!r} has no assertion")
    return name, inputs, expected


def _plugin(row: Row, columns: Columns, question: str) -> Parts:
    """The answer as it is."""
    value = row.value(str(columns.answer))
    if isinstance(value, str | int | float):
        value = row.text(str(columns.answer))
    return Parts(question, value, value if isinstance(value, str) else json.dumps(value))


_MAKERS: dict[str, Callable[[Row, Columns, str], Parts]] = {
    "math": _math, "exact": _exact, "number": _number, "regex": _regex, "json_schema": _schema,
    "choice": _choice, "code": _code,
}  # fmt: skip
