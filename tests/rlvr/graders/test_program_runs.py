"""Programs run as they stand: how they read and end, long integers, methods, packages."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from program_cases import (
    FUNCTION,
    INPUT,
    OTHER,
    RIGHT,
    check,
    fenced,
    program_verifier,
)

from rlvr.graders import Status
from rlvr.graders.code.grader import CodeVerifier

CORRECT, WRONG = Status.CORRECT, Status.WRONG


@pytest.fixture(scope="module")
def verifier() -> Iterator[CodeVerifier]:
    yield from program_verifier()


IMPORT = "import os, sys, atexit, threading\na, b = map(int, input().split())\n"


@pytest.mark.parametrize(
    ("program", "status"),
    [
        (IMPORT + "print(a * b)\nsys.stdout.flush()\nos._exit(0)", CORRECT),
        (IMPORT + "os.write(1, str(a * b).encode())\nos._exit(0)", CORRECT),
        (IMPORT + "print(a * b, flush=True)\nos._exit(0)", CORRECT),
        (IMPORT + "print(a * b)\nos._exit(0)", WRONG),  # never written
        (IMPORT + "print(a * b, flush=True)\nos._exit(1)", WRONG),
        (IMPORT + "print(a * b)\nsys.exit()", CORRECT),
        (IMPORT + "print(a * b)\nsys.exit(0)", CORRECT),
        (IMPORT + "print(a * b)\nexit(0)", CORRECT),
        (IMPORT + "print(a * b)\nraise SystemExit", CORRECT),
        (IMPORT + "print(a * b)\nsys.exit(1)", WRONG),
        (IMPORT + "print(a * b)\nsys.exit('done')", WRONG),
        (IMPORT + "print(a * b)\n1 / 0", WRONG),
        (IMPORT + "print(a * b)\nos.abort()", WRONG),
        (IMPORT + "print(a * b, flush=True)\nos.kill(os.getpid(), 9)", WRONG),
        (IMPORT + "atexit.register(print, a * b)", CORRECT),
        (IMPORT + "atexit.register(lambda: sys.stdout.write(str(a * b)))\nsys.exit()", CORRECT),
        (IMPORT + "atexit.register(print, a * b)\nos._exit(0)", WRONG),
        (IMPORT + "atexit.register(print, 'end')\nprint(a * b)", WRONG),
        (IMPORT + "threading.Thread(target=lambda: print(a * b)).start()", CORRECT),
        (
            IMPORT + "import time\nthreading.Thread(target=lambda: (time.sleep(0.2), print(a * b))).start()",
            CORRECT,
        ),
        (
            IMPORT + "import io\nsys.stdout = io.StringIO()\nsys.__stdout__.write(str(a * b))",
            CORRECT,
        ),
        (IMPORT + "out = open(1, 'w')\nout.write(str(a * b))", CORRECT),
        (IMPORT + "out = open('/dev/stdout', 'w')\nout.write(str(a * b))", CORRECT),
        (IMPORT + "print(a * b)\nprint('debug', file=sys.stderr)", CORRECT),
        (IMPORT + "print(a * b)\nsys.stdout.close()", CORRECT),
        (IMPORT + "print(a * b)\nos.closerange(3, 50)", CORRECT),
        ("a, b = map(int, open(0).read().split())\nprint(a * b)", CORRECT),
        ("a, b = map(int, open('/dev/stdin'))\nprint(a * b)", WRONG),
        ("a, b = map(int, open('/dev/stdin').read().split())\nprint(a * b)", CORRECT),
        ("import sys\na, b = map(int, sys.stdin.buffer.read().split())\nprint(a * b)", CORRECT),
        ("import os\na, b = map(int, os.read(0, 100).split())\nprint(a * b)", CORRECT),
        (
            "import fileinput\nfor x in fileinput.input():\n    a, b = x.split()\nprint(int(a) * int(b))",
            CORRECT,
        ),
        (
            "def main():\n    print(eval(input().replace(' ', '*')))\nif __name__ == '__main__':\n    main()",
            CORRECT,
        ),
    ],
)  # fmt: skip
def test_ways_to_read_and_to_end(verifier: CodeVerifier, program: str, status: Status) -> None:
    check(verifier, fenced(program + "\n"), INPUT, status)


def test_long_integers(verifier: CodeVerifier) -> None:
    digits = "7" + "0" * 5000
    printed = INPUT | {"inputs": [digits], "expected": [digits + "1"]}
    check(verifier, fenced("print(int(input()) * 10 + 1)\n"), printed, CORRECT)
    check(verifier, fenced("print(int(input()) * 10 + 2)\n"), printed, WRONG)
    number = 7 * 10**5000
    returned = FUNCTION | {
        "id": "long",
        "inputs": [[{"int": hex(number)}]],
        "expected": [{"int": hex(number + 1)}],
    }
    check(verifier, fenced("def area(x):\n    return int(str(x)) + 1\n"), returned, CORRECT)
    check(verifier, fenced("def area(x):\n    return int(str(x))\n"), returned, WRONG)


@pytest.mark.parametrize(
    ("program", "status"),
    [
        (f"class Solution:\n    def area(self, w, h):\n        return w * h\n{OTHER}", CORRECT),
        (f"{OTHER}class Solution:\n    def area(self, w, h):\n        return w * h\n", CORRECT),
        (f"class Solution:\n    def area(self, w, h):\n        return area(w, h)\n{RIGHT}", CORRECT),
        (f"class Solution:\n    def area(self, w, h):\n        return w + h\n{RIGHT}", WRONG),
        (f"class Solution:\n    def other(self):\n        return 1\n{RIGHT}", CORRECT),
        ("class Solution:\n    @staticmethod\n    def area(w, h):\n        return w * h\n", CORRECT),
        ("class Solution:\n    area = lambda self, w, h: w * h\n", CORRECT),
        ("class Solution:\n    def __init__(self):\n        self.area = lambda w, h: w * h\n", CORRECT),
        ("class Other:\n    def area(self, w, h):\n        return w * h\n", WRONG),
        ("Solution = 5\ndef area(w, h):\n    return w * h\n", CORRECT),
    ],
)
def test_methods_and_functions(verifier: CodeVerifier, program: str, status: Status) -> None:
    check(verifier, fenced(program), FUNCTION, status)


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("import numpy as np\ndef area(w, h):\n    return int(np.prod([w, h]))\n", CORRECT),
        ("import numpy as np\ndef area(w, h):\n    return np.prod([w, h])\n", CORRECT),
        ("import numpy as np\ndef area(w, h):\n    return np.float64(w) * h\n", CORRECT),
        ("from numpy.linalg import det\ndef area(w, h):\n    return round(det([[w, 0], [0, h]]))\n", CORRECT),
        ("import numpy as np\ndef area(w, h):\n    return np.array([w * h])\n", WRONG),
        ("import numpy as np\ndef area(w, h):\n    return np.add(w, h)\n", WRONG),
        ("import torch\ndef area(w, h):\n    return w * h\n", WRONG),
        ("import sympy\ndef area(w, h):\n    return w * h\n", WRONG),
    ],
)
def test_packages(verifier: CodeVerifier, program: str, status: Status) -> None:
    assert importlib.util.find_spec("numpy") is not None
    check(verifier, fenced(program), FUNCTION, status)


def test_equal_programs_for_a_problem_are_run_once(
    verifier: CodeVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the completions around them differ; the same program for another problem is run again."""
    run: list[str] = []
    passes = verifier._passes

    def counted(program: str, reference: Mapping[str, Any]) -> bool:
        run.append(reference["id"])
        return passes(program, reference)

    monkeypatch.setattr(verifier, "_passes", counted)
    other = {**FUNCTION, "id": "another"}
    texts = [f"Try {i}.\n{fenced(RIGHT if i % 2 else OTHER)}" for i in range(12)]
    items = [*((text, FUNCTION) for text in texts), (texts[1], other), ("", FUNCTION)]
    together = verifier.grade(items)
    assert sorted(run) == sorted([FUNCTION["id"], FUNCTION["id"], "another"])
    assert [(v.status, v.extracted, v.score) for v in together] == [
        (v.status, v.extracted, v.score) for v in (verifier(*item) for item in items)
    ]
    assert {v.status for v in together} >= {CORRECT, Status.UNPARSED}
