"""LiveCodeBench: programs that read standard input, and methods, released at known dates.

Jain et al., arXiv 2403.07974. Rows are those of the data set's JSONL files; each holds its tests, the
private ones packed as base64 of zlib of a pickled text.
"""

from __future__ import annotations

import base64
import io
import json
import pickle
import zlib
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from rlvr.graders.code.grader import CodeVerifier
from rlvr.graders.plain_data import encode
from rlvr.tasks import Problem, Task, TaskError
from rlvr.tasks.confined import confinement_for
from rlvr.tasks.programs.evalplus import Seconds
from rlvr.tasks.sources import BadRows, Loaded, Row, RowError, load_problems
from rlvr.tasks.templates import TemplateName, render

Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]

REPOSITORY = "livecodebench/code_generation_lite"
LARGEST_TESTS = 1 << 30
# Names that the problems' starter code and the solutions written for them take for granted.
PRELUDE = "\n".join(
    f"from {module} import *"
    for module in (
        "string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random",
        "statistics", "itertools", "functools", "operator", "typing", "builtins",
    )
) + "\nimport collections, datetime, heapq, itertools, math, random, re, string, sys\n"  # fmt: skip
ASK_FOR_INPUT = (
    "{question}\n\nWrite a Python program that reads the input from standard input and prints the answer. "
    "Give all of it in one ```python block."
)
ASK_FOR_METHOD = (
    "{question}\n\nComplete this:\n```python\n{starter}\n```\nGive all of it in one ```python block."
)


def livecodebench(
    source: str | None = None,
    files: Annotated[tuple[str, ...], Field(min_length=1)] = ("test.jsonl",),
    start: Day | None = None,
    end: Day | None = None,
    train_before: Day | None = None,
    template: TemplateName = "r1_zero",
    revision: str | None = None,
    test_seconds: Seconds = 6.0,
    problem_seconds: Seconds = 60.0,
    allow_unsafe: bool = False,
    bad_rows: BadRows = "stop",
) -> Task:
    """Problems of contests from `start` to `end` such as 2024-08-01, both included, to test on.

    train_before: the problems of contests before that day are to train on, not to test on. files: of the
    release (test.jsonl, test2.jsonl ... each with what that release added), looked for in the directory
    `source`, else downloaded from the hub at `revision`.
    """
    confinement = confinement_for("livecodebench", "runs programs that a model wrote", allow_unsafe)
    earlier: set[str] = set()

    def problem(row: Row) -> Problem:
        released = _released(row)
        if train_before and released < train_before:
            earlier.add(row.text("question_id"))
        elif (start and released < start) or (end and released > end):  # ISO dates sort as text
            return Problem(row.text("question_id"), "", None)
        return _problem(row, template)

    loaded = [
        load_problems("livecodebench", str(_file(name, source, revision)), None, problem, bad_rows)
        for name in files
    ]
    problems = _in_window(loaded, start, end)
    train = [p for p in problems if p.id in earlier]
    test = [p for p in problems if p.id not in earlier]
    if shared := {p.prompt for p in train} & {p.prompt for p in test}:
        raise TaskError(
            f"task livecodebench: {len(shared)} questions stand before and after task.train_before"
        )
    verifier = CodeVerifier(confinement, test_seconds, problem_seconds)
    skipped = sum(part.skipped for part in loaded)
    return Task("livecodebench", train, test, verifier, template, skipped)


def _file(name: str, source: str | None, revision: str | None) -> Path:
    if source is not None:
        return Path(source) / name if Path(source).is_dir() else Path(source)
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(REPOSITORY, name, repo_type="dataset", revision=revision))
    except Exception as error:  # the hub's client raises errors of half a dozen libraries
        raise TaskError(
            f"task livecodebench: cannot get {name} of {REPOSITORY} from the hub: {error}. Give the "
            "directory of its files as task.source=DIR"
        ) from error


def _in_window(loaded: Sequence[Loaded], start: str | None, end: str | None) -> list[Problem]:
    problems: dict[str, Problem] = {}
    for problem in (p for part in loaded for p in part.problems if p.reference is not None):
        if problem.id in problems:
            raise TaskError(f"task livecodebench: id {problem.id!r} is in more than one of task.files")
        problems[problem.id] = problem
    if not problems:
        raise TaskError(
            f"task livecodebench: no problem was released from {start or 'the beginning'} to "
            f"{end or 'the end'}; see task.start, task.end and task.files"
        )
    return list(problems.values())


def _released(row: Row) -> str:
    text = row.text("contest_date")
    try:
        return date.fromisoformat(text[:10]).isoformat()
    except ValueError:
        raise RowError(f"column 'contest_date' is {text!r:.60}, not a date") from None


def _problem(row: Row, template: TemplateName) -> Problem:
    question, starter = row.text("question_content"), str(row.value("starter_code"))
    tests = [*_tests(row, "public_test_cases"), *_tests(row, "private_test_cases")]
    if not tests:
        raise RowError("there are no tests")
    reference: dict[str, Any] = {
        "id": row.text("question_id"), "prefix": PRELUDE, "entry_point": None, "solution": None,
        "inputs": [test["input"] for test in tests], "expected": [test["output"] for test in tests],
        "comparison": "sequence", "tolerance": 0.0,
    }  # fmt: skip
    if starter.strip():
        asked = ASK_FOR_METHOD.replace("{starter}", starter.strip())
        method = _json(row.text("metadata"), "metadata", dict).get("func_name")
        if not isinstance(method, str):
            raise RowError("column 'metadata' has no func_name for the starter code")
        reference |= {
            "entry_point": method,
            "inputs": [[_value(line) for line in test["input"].splitlines() if line] for test in tests],
            "expected": [_value(test["output"]) for test in tests],
        }
    else:
        asked = ASK_FOR_INPUT
    prompt = render(template, asked.replace("{question}", question))
    return Problem(str(reference["id"]), prompt, reference)


def _tests(row: Row, column: str) -> list[Mapping[str, str]]:
    """The tests of a column: JSON, or JSON that was pickled, compressed and written as base64."""
    text = str(row.value(column))
    tests = _json(text if text.lstrip().startswith("[") else _unpacked(text, column), column, list)
    for test in tests:
        if not isinstance(test, dict) or not all(isinstance(test.get(k), str) for k in ("input", "output")):
            raise RowError(f"column {column!r} has a test without the texts input and output")
    return tests


def _unpacked(text: str, column: str) -> str:
    try:
        unpacker = zlib.decompressobj()
        packed = unpacker.decompress(base64.b64decode(text, validate=True), LARGEST_TESTS)
        if not unpacker.eof:
            raise RowError(f"column {column!r} is cut short or more than {LARGEST_TESTS} bytes long")
        content = _PlainUnpickler(io.BytesIO(packed)).load()
    except (ValueError, zlib.error, EOFError, pickle.UnpicklingError) as error:
        raise RowError(f"column {column!r} cannot be unpacked: {error}") from None
    if not isinstance(content, str):
        raise RowError(f"column {column!r} holds a pickled {type(content).__name__}, not a text")
    return content


class _PlainUnpickler(pickle.Unpickler):
    """Reads numbers, texts and containers; a pickle that asks for any class or function is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _json(text: str, column: str, kind: type) -> Any:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RowError(f"column {column!r} is not JSON: {error}") from None
    if not isinstance(content, kind):
        raise RowError(f"column {column!r} is a JSON {type(content).__name__}, not a {kind.__name__}")
    return content


def _value(text: str) -> Any:
    """One argument or output of a method, encoded."""
    try:
        return encode(json.loads(text, parse_int=_integer))
    except (ValueError, RecursionError):
        raise RowError(f"a test's value is not JSON: {text!r:.60}") from None


def _integer(digits: str) -> int:
    """An integer of any length; Python's own reading ends at 4,300 digits."""
    return int(Decimal(digits))
