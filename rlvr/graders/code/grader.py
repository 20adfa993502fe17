"""Code verifier: runs a completion's program in a sandbox and compares its outputs outside.

Inputs go in, outputs come back as JSON; the expected outputs never enter a process that runs a
completion, so there is nothing there to read or to forge. Where the data holds no expected outputs, they
are what the problem's own solution returns, in a process of its own.

A reference is a mapping:
    id           the problem's
    prefix       what stands before the completion's program: the prompt that it continues, or imports
    entry_point  the function to call; None for a program that reads standard input
    inputs       for a function encoded argument lists (see `plain_data`), else texts
    expected     encoded outputs or printed texts; None: whatever `solution` returns
    solution     a program that is right
    comparison   equal | sequence (tuples equal lists) | set (order and repeats do not matter) | truth |
                 root: the value is right if the solution's function `helper`, given the arguments and
                 the value, returns 0
    tolerance    absolute, for floats
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from rlvr.core.errors import UserError
from rlvr.graders import Status, Verdict
from rlvr.graders.plain_data import NotPlainData, decode, encode, equal
from rlvr.sandbox import CallFailed, Confinement, Limits, TimedOut, WorkerPool

LANGUAGE_TAGS = ("", "python", "python3", "py")
_FENCE = "```"


# A completion may take this many times what the problem's own solution takes, where that is more than the
# configured limit, and return this many times as much.
GENEROSITY = 4
LEAST_OUTPUT_BYTES = 1 << 16
SOLUTION_SECONDS, SOLUTION_OUTPUT_BYTES = 120.0, 1 << 28


@dataclass(frozen=True, slots=True)
class Expected:
    """The tests that are made: encoded inputs, and the outputs that are right, decoded.

    too_large: inputs left out because their right output is. seconds, output_bytes: what the solution
    took for all of them; 0 s where it did not run.
    """

    inputs: list[Any]
    values: list[Any]
    too_large: int
    seconds: float
    output_bytes: int


class ReferenceFailed(UserError):
    """A problem's own solution did not run; the message names the problem and what happened."""


class CodeVerifier:
    """Grades in as many sandboxes at a time as `workers`, by default the CPUs.

    test_seconds: for one test. problem_seconds: for all tests of one completion together. Both are at
    least four times what the problem's own solution takes for all tests.
    """

    version = "code-1"

    def __init__(
        self,
        confinement: Confinement,
        test_seconds: float = 4.0,
        problem_seconds: float = 20.0,
        memory_mb: int = 4096,
        workers: int | None = None,
    ):
        self.test_seconds = test_seconds
        self.problem_seconds = problem_seconds
        limits = Limits(
            problem_seconds, cpu_seconds=int(SOLUTION_SECONDS), memory_mb=memory_mb,
            printed_bytes=64 << 20,
        )  # fmt: skip
        self.pool = WorkerPool(
            "rlvr.graders.code.run:run", workers, limits, packages=False, confinement=confinement
        )
        self._expected: dict[str, Expected] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    @property
    def confinement(self) -> str:
        """How the processes that grade are confined, for the record."""
        return self.pool.confinement.name

    def __call__(self, completion: str, reference: Mapping[str, Any]) -> Verdict:
        start = time.perf_counter()
        code = extract_code(completion)
        if code is None:
            status = Status.UNPARSED
        else:
            try:
                right = self._passes(reference["prefix"] + code, reference)
                status = Status.CORRECT if right else Status.WRONG
            except TimedOut:
                status = Status.TIMED_OUT
            except (CallFailed, NotPlainData):
                status = Status.WRONG
        score = 1.0 if status is Status.CORRECT else 0.0
        return Verdict(status, score, code, time.perf_counter() - start)

    def grade(self, items: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Verdict]:
        """The verdict on each (completion, reference), in order."""
        with ThreadPoolExecutor(self.pool.workers) as threads:
            return list(threads.map(lambda item: self(*item), items))

    def _passes(self, program: str, reference: Mapping[str, Any]) -> bool:
        if reference["entry_point"] is None:
            return self._prints(program, reference)
        expected = self.expected(reference)
        outcomes = self.pool.call(
            "call_function", program, reference["entry_point"], expected.inputs,
            max(self.test_seconds, GENEROSITY * expected.seconds), reference["comparison"] == "truth",
            seconds=max(self.problem_seconds, GENEROSITY * expected.seconds),
            output_bytes=max(LEAST_OUTPUT_BYTES, GENEROSITY * expected.output_bytes),
        )  # fmt: skip
        values = _decoded(outcomes)
        comparison, tolerance = reference["comparison"], reference["tolerance"]
        if len(values) != len(expected.values):
            return False
        if comparison == "root":
            return self._roots(expected.inputs, values, reference)
        pairs = zip(values, expected.values, strict=True)
        if comparison == "set":
            return all(_same_members(value, wanted) for value, wanted in pairs)
        return all(equal(value, wanted, tolerance, comparison == "sequence") for value, wanted in pairs)

    def expected(self, reference: Mapping[str, Any]) -> Expected:
        """The outputs that are right, found out once for each problem. Raises ReferenceFailed."""
        name = reference["id"]
        with self._locks[name]:
            if name not in self._expected:
                self._expected[name] = self._find_expected(reference)
            return self._expected[name]

    def _find_expected(self, reference: Mapping[str, Any]) -> Expected:
        if (given := reference["expected"]) is not None:
            values = [decode(value) for value in given]
            return Expected(reference["inputs"], values, 0, 0.0, len(json.dumps(given)))
        start = time.perf_counter()
        try:
            outcomes = self.pool.call(
                "call_function", reference["solution"], reference["entry_point"], reference["inputs"],
                SOLUTION_SECONDS, reference["comparison"] == "truth",
                seconds=SOLUTION_SECONDS, output_bytes=SOLUTION_OUTPUT_BYTES,
            )  # fmt: skip
            kept = [outcome for outcome in outcomes if "too_large" not in outcome]
            values = _decoded(kept)
        except (CallFailed, NotPlainData) as error:
            raise ReferenceFailed(f"problem {reference['id']}: its own solution fails: {error}") from error
        inputs = [
            arguments
            for arguments, outcome in zip(reference["inputs"], outcomes, strict=True)
            if "too_large" not in outcome
        ]
        left_out = len(outcomes) - len(kept)
        return Expected(inputs, values, left_out, time.perf_counter() - start, len(json.dumps(kept)))

    def _roots(self, inputs: list[Any], values: list[Any], reference: Mapping[str, Any]) -> bool:
        """Whether the solution's helper gives 0 for each (arguments, value)."""
        if not all(isinstance(value, int | float) for value in values):
            return False
        questions = [encode([*decode(i), v]) for i, v in zip(inputs, values, strict=True)]
        try:
            outcomes = self.pool.call(
                "call_function",
                reference["solution"],
                reference["helper"],
                questions,
                self.test_seconds,
                False,
            )
            return all(abs(result) <= reference["tolerance"] for result in _decoded(outcomes))
        except CallFailed:  # such as an overflow far from any root
            return False

    def _prints(self, program: str, reference: Mapping[str, Any]) -> bool:
        deadline = time.monotonic() + self.problem_seconds
        for text, wanted in zip(reference["inputs"], reference["expected"], strict=True):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimedOut(f"all tests together took more than {self.problem_seconds:g} s")
            outcome = self.pool.call("run_program", program, text, seconds=min(self.test_seconds, left))
            if not isinstance(outcome, dict) or not same_text(outcome.get("value"), wanted):
                return False
        return True


def extract_code(completion: str) -> str | None:
    """The last fenced Python block, else the whole text; of the last <answer> where there is one.

    None where that is blank. A block that is never closed reaches to the end.
    """
    text = completion
    if (tag := completion.rfind("<answer>")) >= 0:
        text = completion[tag + len("<answer>") :].partition("</answer>")[0]
    blocks = []
    for block in text.split(_FENCE)[1::2]:
        language, newline, code = block.partition("\n")
        if newline and language.strip().lower() in LANGUAGE_TAGS and code.strip():
            blocks.append(code)
    if blocks:
        return blocks[-1]
    return text if text.strip() and _FENCE not in text else None


def same_text(printed: Any, wanted: str) -> bool:
    """Equal lines, spaces at their ends and blank lines at the end aside; numbers by their value."""
    if not isinstance(printed, str):
        return False
    given, lines = ([line.strip() for line in text.strip().splitlines()] for text in (printed, wanted))
    return len(given) == len(lines) and all(map(_same_line, given, lines))


def _same_line(given: str, wanted: str) -> bool:
    if given == wanted:
        return True
    words, others = given.split(), wanted.split()
    return len(words) == len(others) and all(map(_same_word, words, others))


def _same_word(given: str, wanted: str) -> bool:
    if given == wanted:
        return True
    try:
        return Decimal(given) == Decimal(wanted)
    except InvalidOperation:
        return False


def _decoded(outcomes: Any) -> list[Any]:
    """The values of all outcomes. Raises TimedOut, CallFailed, NotPlainData."""
    if not isinstance(outcomes, list) or not all(isinstance(o, dict) for o in outcomes):
        raise NotPlainData("outcomes that the harness would not write")
    for outcome in outcomes:
        if "timed_out" in outcome:
            raise TimedOut("a test took too long")
        if "value" not in outcome:
            raise CallFailed(str(outcome.get("error")))
    return [decode(outcome["value"]) for outcome in outcomes]


def _same_members(value: Any, expected: Any) -> bool:
    try:
        return set(value) == set(expected)
    except TypeError:
        return False
