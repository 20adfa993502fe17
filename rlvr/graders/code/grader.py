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
    comparison   equal | sequence (tuples equal lists) | set (order and repeats do not matter) |
                 found (a value that is no bool counts as whether it is not None) | any |
                 root: the value is right if the solution's function `helper`, given the arguments and
                 the value, returns 0
    also         another program, whose outputs are right as well; absent or None where there is none
    tolerance    absolute, for floats
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from rlvr.core.errors import UserError
from rlvr.graders import Status, Verdict
from rlvr.graders.code.outputs import agrees, decoded, same_text
from rlvr.graders.code.readings import readings
from rlvr.graders.plain_data import NotPlainData, decode, encode
from rlvr.sandbox import CallFailed, Confinement, Limits, TimedOut, WorkerPool

# What a program may import besides the standard library.
PACKAGES = ("numpy",)
# A completion may take this many times what the problem's own solution takes, where that is more than the
# configured limit, and return this many times as much.
GENEROSITY = 4
LEAST_OUTPUT_BYTES, LEAST_PRINTED_BYTES = 1 << 16, 1 << 20
SOLUTION_SECONDS, SOLUTION_OUTPUT_BYTES = 120.0, 1 << 28


@dataclass(frozen=True, slots=True)
class Expected:
    """The tests that are made: encoded inputs, and for each the outputs that are right, decoded.

    too_large: inputs left out because their right output is. seconds, output_bytes: what the solution
    took for all of them; 0 s where it did not run.
    """

    inputs: list[Any]
    values: list[tuple[Any, ...]]
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

    version = "code-2"

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
            "rlvr.graders.code.run:run", workers, limits, PACKAGES, ("import_common",), confinement
        )
        self._expected: dict[str, Expected] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    @property
    def confinement(self) -> str:
        """How the processes that grade are confined, for the record."""
        return self.pool.confinement.name

    def __call__(self, completion: str, reference: Mapping[str, Any]) -> Verdict:
        return self._verdict(*self._extracted(completion, reference), reference)

    def grade(self, items: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Verdict]:
        """The verdict on each (completion, reference), in order. Programs that are equal are run once."""
        with ThreadPoolExecutor(self.pool.workers) as threads:
            found = list(threads.map(lambda item: self._extracted(*item), items))
            each = [
                (reference["id"], code, status)
                for (code, status, _), (_, reference) in zip(found, items, strict=True)
            ]
            first = {key: i for i, key in reversed(list(enumerate(each)))}
            run = threads.map(lambda i: self._verdict(*found[i], items[i][1]), first.values())
            verdicts = dict(zip(first, run, strict=True))
        return [
            verdicts[key] if first[key] == i else replace(verdicts[key], seconds=seconds)
            for i, (key, (_, _, seconds)) in enumerate(zip(each, found, strict=True))
        ]

    def _extracted(
        self, completion: str, reference: Mapping[str, Any]
    ) -> tuple[str | None, Status | None, float]:
        """The program, the verdict where there is one already, and the seconds that this took."""
        start = time.perf_counter()
        code, status = None, None
        try:
            code = self.extract(completion, reference)
            if code is None:
                status = Status.UNPARSED
        except TimedOut:
            status = Status.TIMED_OUT
        except (CallFailed, NotPlainData):
            status = Status.WRONG
        return code, status, time.perf_counter() - start

    def _verdict(
        self, code: str | None, status: Status | None, seconds: float, reference: Mapping[str, Any]
    ) -> Verdict:
        start = time.perf_counter()
        if code is not None and status is None:
            try:
                right = self._passes(reference["prefix"] + code, reference)
                status = Status.CORRECT if right else Status.WRONG
            except TimedOut:
                status = Status.TIMED_OUT
            except (CallFailed, NotPlainData):
                status = Status.WRONG
        assert status is not None
        score = 1.0 if status is Status.CORRECT else 0.0
        return Verdict(status, score, code, seconds + time.perf_counter() - start)

    def extract(self, completion: str, reference: Mapping[str, Any]) -> str | None:
        """The program that the completion holds, without the prefix; None where it holds none."""
        prefix, entry_point = reference["prefix"], reference["entry_point"]
        continued = entry_point is not None and f"def {entry_point}(" in prefix
        programs = readings(completion, entry_point, continued)
        if len(programs) < 2:
            return programs[0] if programs else None
        best = self.pool.call("best_reading", prefix, programs, entry_point)
        return programs[best]

    def _passes(self, program: str, reference: Mapping[str, Any]) -> bool:
        if reference["entry_point"] is None:
            return self._prints(program, reference)
        expected = self.expected(reference)
        outcomes = self.pool.call(
            "call_function", program, reference["entry_point"], expected.inputs,
            max(self.test_seconds, GENEROSITY * expected.seconds), reference["comparison"] == "found",
            seconds=max(self.problem_seconds, GENEROSITY * expected.seconds),
            output_bytes=max(LEAST_OUTPUT_BYTES, GENEROSITY * expected.output_bytes),
        )  # fmt: skip
        values = decoded(outcomes)
        if len(values) != len(expected.values):
            return False
        if reference["comparison"] == "root":
            return self._roots(expected.inputs, values, reference)
        return all(
            any(agrees(value, right, reference) for right in all_right)
            for value, all_right in zip(values, expected.values, strict=True)
        )

    def expected(self, reference: Mapping[str, Any]) -> Expected:
        """The outputs that are right, found out once for each problem. Raises ReferenceFailed."""
        name = reference["id"]
        with self._locks[name]:
            if name not in self._expected:
                self._expected[name] = self._find_expected(reference)
            return self._expected[name]

    def _find_expected(self, reference: Mapping[str, Any]) -> Expected:
        if (given := reference["expected"]) is not None:
            values = [(decode(value),) for value in given]
            return Expected(reference["inputs"], values, 0, 0.0, len(json.dumps(given)))
        start = time.perf_counter()
        outcomes = self._outcomes_of(reference["solution"], reference["inputs"], reference)
        kept = [i for i, outcome in enumerate(outcomes) if "too_large" not in outcome]
        inputs = [reference["inputs"][i] for i in kept]
        answers = [decoded([outcomes[i] for i in kept])]
        if also := reference.get("also"):
            answers.append(decoded(self._outcomes_of(also, inputs, reference)))
        size = len(json.dumps([outcomes[i] for i in kept]))
        left_out = len(outcomes) - len(kept)
        return Expected(inputs, list(zip(*answers, strict=True)), left_out, time.perf_counter() - start, size)

    def _outcomes_of(self, program: str, inputs: list[Any], reference: Mapping[str, Any]) -> list[Any]:
        """What a program of the task's own gives for each input. Raises ReferenceFailed."""
        try:
            outcomes = self.pool.call(
                "call_function", program, reference["entry_point"], inputs, SOLUTION_SECONDS,
                reference["comparison"] == "found",
                seconds=SOLUTION_SECONDS, output_bytes=SOLUTION_OUTPUT_BYTES,
            )  # fmt: skip
            decoded([outcome for outcome in outcomes if "too_large" not in outcome])
        except (CallFailed, NotPlainData) as error:
            raise ReferenceFailed(f"problem {reference['id']}: its own solution fails: {error}") from error
        return outcomes

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
            return all(abs(result) <= reference["tolerance"] for result in decoded(outcomes))
        except CallFailed:  # such as an overflow far from any root
            return False

    def _prints(self, program: str, reference: Mapping[str, Any]) -> bool:
        deadline = time.monotonic() + self.problem_seconds
        for text, wanted in zip(reference["inputs"], reference["expected"], strict=True):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimedOut(f"all tests together took more than {self.problem_seconds:g} s")
            ran = self.pool.call(
                "run_program", program, text, seconds=min(self.test_seconds, left),
                output_bytes=max(LEAST_PRINTED_BYTES, GENEROSITY * len(wanted)), printed=True,
            )  # fmt: skip
            if ran["status"] != 0 or not same_text(ran["printed"], wanted):
                return False
        return True
