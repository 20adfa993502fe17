"""Which part of a completion is the program, and that programs run as they stand: tables with near misses."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import pytest

from rlvr.graders import Status
from rlvr.graders.code.grader import CodeVerifier
from rlvr.graders.code.readings import readings
from rlvr.sandbox import ConfinementError, choose

CORRECT, WRONG, UNPARSED = Status.CORRECT, Status.WRONG, Status.UNPARSED
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


@pytest.fixture(scope="module")
def verifier() -> Iterator[CodeVerifier]:
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


FENCES = [
    (fenced(RIGHT, info), CORRECT)
    for info in (
        "python", "Python", "py", "python3", "Python3.11", "python title='a.py'", "python {1,3}", "{.python}",
        "python:a.py", "python\r", "", "area.py", "python linenums=1", "ipython3", "{python}",
        "python,editable",
    )
] + [
    (fenced(RIGHT, info), UNPARSED)
    for info in ("cpp", "javascript", "text", "pycon", "python-repl", "pytb", "bash", "pyret", "json")
] + [
    (fenced(RIGHT, "python", "~~~"), CORRECT),
    (fenced(RIGHT, "python", "````"), CORRECT),
    (fenced(RIGHT, "", "~~~~"), CORRECT),
    (fenced(RIGHT, "cpp", "~~~"), UNPARSED),
    # closed by a shorter fence, by prose or not at all
    (f"```python\n{RIGHT}", CORRECT),
    (f"```python\n{RIGHT}\nThis multiplies both sides.\n", CORRECT),
    (f"```python\n{RIGHT}``` This multiplies both.\n", CORRECT),
    (f"```python\n{RIGHT.rstrip()}```\nDone.", CORRECT),
    (f"~~~python\n{RIGHT}\nThat is it", CORRECT),
    ("```python\n```", UNPARSED),
    ("```python\n\n```\n", UNPARSED),
    # indented with the list that it stands in
    ("1. So:\n   ```python\n   def area(w, h):\n       return w * h\n   ```\n", CORRECT),
    ("1. So:\n\t~~~py\n\tdef area(w, h):\n\t    return w * h\n\t~~~\n", CORRECT),
    # a fence in a text of the program
    (
        '```python\ndef area(w, h):\n    """\n```\n>>> area(1, 2)\n```\n    """\n    return w * h\n```\n',
        CORRECT,
    ),
    ('```python\ndef area(w, h):\n    fence = "```"\n    return w * h\n```\n', CORRECT),
    ("~~~python\ndef area(w, h):\n    '''\n```\n'''\n    return w * h\n~~~\n", CORRECT),
    # behind words or a tag in the same line
    (f"The program: {fenced(RIGHT)}", CORRECT),
    (f"<answer>{fenced(RIGHT)}</answer>", CORRECT),
    (f"<answer>{fenced(RIGHT, '')}</answer>", CORRECT),
    ("Use `def area` with ``` as a fence.", WRONG),
]  # fmt: skip


@pytest.mark.parametrize(("completion", "status"), FENCES)
def test_fences(verifier: CodeVerifier, completion: str, status: Status) -> None:
    check(verifier, completion, FUNCTION, status)


@pytest.mark.parametrize(
    ("completion", "status"),
    [
        # sample output, a use or a draft before or behind the program
        (fenced(RIGHT) + "It gives\n" + fenced("15\n", ""), CORRECT),
        (fenced("15\n", "") + fenced(RIGHT), CORRECT),
        (fenced(RIGHT) + fenced("print(area(3, 5))\n"), CORRECT),
        (fenced(RIGHT) + fenced("area(3, 5)\n", ""), CORRECT),
        (fenced(RIGHT, "") + fenced("area(3, 5)  # 15\n"), CORRECT),
        (fenced(RIGHT, "") + fenced("15\n", ""), CORRECT),
        (fenced(RIGHT, "") + fenced("$ python a.py\n15\n", ""), CORRECT),
        (fenced(RIGHT) + fenced("pip install nothing\n", "bash"), CORRECT),
        (fenced("int area(int a, int b);\n", "c") + fenced(RIGHT), CORRECT),
        (fenced(RIGHT) + fenced("assert area(2, 2) == 4\nassert area(1, 1) == 1\n"), CORRECT),
        # of two programs the last
        (fenced(OTHER) + "No, that adds.\n" + fenced(RIGHT), CORRECT),
        (fenced(RIGHT) + "Or rather\n" + fenced(OTHER), WRONG),
        (fenced(OTHER) + fenced(RIGHT, ""), CORRECT),
        (f"```python\n{OTHER}\nNo.\n```python\n{RIGHT}```\n", CORRECT),
        # a program in parts
        (
            fenced("import math\n") + "Then\n" + fenced("def area(w, h):\n    return math.prod([w, h])\n"),
            CORRECT,
        ),
        (
            fenced("def times(a, b):\n    return a * b\n") + fenced("def area(a, b): return times(a, b)\n"),
            CORRECT,
        ),
        (
            fenced("import math\n", "") + fenced("def area(w, h):\n    return math.prod([w, h])\n", ""),
            CORRECT,
        ),
        ("Take math.\n" + fenced("def area(w, h):\n    return math.prod([w, h])\n"), WRONG),
        # no fence
        (RIGHT, CORRECT),
        (f"Here is the function:\n\n{RIGHT}\nIt multiplies.", CORRECT),
        (f"I import nothing.\nfrom the start:\n{RIGHT}", CORRECT),
        ("area = lambda w, h: w * h", CORRECT),
        ("There is no program here.", WRONG),
        ("  \n", UNPARSED),
        ("", UNPARSED),
    ],
)  # fmt: skip
def test_which_block_defines_a_function(verifier: CodeVerifier, completion: str, status: Status) -> None:
    check(verifier, completion, FUNCTION, status)
    check(verifier, completion, PRELUDED, status)


@pytest.mark.parametrize(
    ("completion", "status"),
    [
        (fenced(READS) + "For 3 5 it prints\n" + fenced("15\n", ""), CORRECT),
        (fenced(READS, "") + "For 3 5 it prints\n" + fenced("15\n", ""), CORRECT),
        (fenced("3 5\n", "") + fenced(READS, "") + fenced("15\n", ""), CORRECT),
        (fenced(READS) + fenced("print(3 * 5)\n"), CORRECT),
        (fenced(READS) + fenced("3 5\n", "input") + fenced("15\n", "output"), CORRECT),
        (fenced(READS) + fenced("echo 3 5 | python a.py\n", "sh"), CORRECT),
        (fenced(READS.replace("*", "+")) + "That adds.\n" + fenced(READS), CORRECT),
        (fenced(READS) + fenced(READS.replace("*", "+")), WRONG),
        (
            fenced("def f(a, b):\n    return a * b\n") + fenced("print(f(*map(int, input().split())))\n"),
            CORRECT,
        ),
        (fenced("print(15)\n"), WRONG),
        (fenced("15\n", ""), WRONG),
        (f"First lines:\n{READS}", WRONG),
        (f"import sys\n{READS}", CORRECT),
    ],
)  # fmt: skip
def test_which_block_reads_the_input(verifier: CodeVerifier, completion: str, status: Status) -> None:
    check(verifier, completion, INPUT, status)


@pytest.mark.parametrize(
    ("completion", "status"),
    [
        ("```python\ndef area(w, h):\n    # goes into <answer>\n    return w * h\n```", CORRECT),
        ("```python\ndef area(w, h):\n    s = '<answer></answer>'\n    return w * h\n```", CORRECT),
        ("def area(w, h):\n    # ends </answer>\n    return w * h\n", CORRECT),
        (f"It goes into the <answer> tag.\n{fenced(RIGHT)}", CORRECT),
        (f"{fenced(RIGHT)}That belongs in the <answer> tag.", CORRECT),
        (f"<answer>\n{RIGHT}</answer>", CORRECT),
        (f"<answer>\n```python\n# before </answer>\n{RIGHT}```\n</answer> and on\n", CORRECT),
        (f"<answer>{fenced(RIGHT)}</answer>\n```python\n{OTHER}```\n", CORRECT),
        (f"<answer> {RIGHT}</answer>", CORRECT),
        (f"<answer>\n{fenced(RIGHT)}", CORRECT),
        (f"</think> <answer>{fenced(RIGHT)}</answer>", CORRECT),
        (f"Draft:\n```python\n{OTHER}</think>\n<answer>\n{fenced(RIGHT)}</answer>", CORRECT),
        (f"<think>\n{fenced(OTHER)}</think>\n{fenced(RIGHT)}", CORRECT),
        (f"<think>\n```python\n# a </think> of my own\n{OTHER}```\n</think>\n{fenced(RIGHT)}", CORRECT),
        (f"<answer>{fenced(OTHER)}</answer> or <answer>{fenced(RIGHT)}</answer>", CORRECT),
        (f"<answer>{fenced(RIGHT)}</answer>\nUser: and the sum?\n<answer>{fenced(OTHER)}</answer>", CORRECT),
        # what is only thought, or stands beside the answer, is no answer
        (f"<think>\n{fenced(RIGHT)}</think>\n<answer> I do not know. </answer>", WRONG),
        (f"<think>\n{fenced(RIGHT)}</think>\n", UNPARSED),
        (f"<think>\n{fenced(RIGHT)}", UNPARSED),
        (f"{fenced(RIGHT)}<answer> unknown </answer>", WRONG),
    ],
)  # fmt: skip
def test_tags(verifier: CodeVerifier, completion: str, status: Status) -> None:
    check(verifier, completion, FUNCTION, status)


BODY = "    return width * height\n"


@pytest.mark.parametrize(
    ("completion", "status"),
    [
        (BODY, CORRECT),
        (BODY + "It multiplies.\n", CORRECT),
        (BODY + "```\n\nIt multiplies both.\n", CORRECT),
        (BODY + "~~~\nand so on\n", CORRECT),
        (BODY + "```\n\nA use:\n```python\narea(1, 2)\n```\n", CORRECT),
        (BODY + "\nassert area(2, 2) == 5\n", CORRECT),
        (BODY + "\nprint(area(2, 2, 2))\n", CORRECT),
        (BODY + "\nraise SystemExit(3)\n", CORRECT),
        (BODY + "\nif __name__ == '__main__':\n    assert False\n", CORRECT),
        (BODY + "\n\ndef test():\n    assert area(2,", CORRECT),
        ("\n" + BODY, CORRECT),
        ("    def times(a, b):\n        return a * b\n    return times(width, height)\n", CORRECT),
        ("    return helper(width, height)\n\ndef helper(a, b):\n    return a * b\n", CORRECT),
        ("    return helper(width, height)\n\nassert False\n\ndef helper(a, b):\n    return a * b\n", WRONG),
        ("    return width + height\n```\n\n```python\ndef area(w, h): return w * h\n```\n", WRONG),
        ("    assert area\n    return width + height\n", WRONG),
        (fenced(BODY), CORRECT),
        (fenced(RIGHT), CORRECT),
        (fenced(CONTINUED["prefix"] + BODY), CORRECT),
        (fenced(RIGHT) + fenced("15\n", ""), CORRECT),
        (fenced("return width * height\n"), WRONG),
        ("The answer is 15.", WRONG),
    ],
)  # fmt: skip
def test_continuations(verifier: CodeVerifier, completion: str, status: Status) -> None:
    check(verifier, completion, CONTINUED, status)


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


def test_readings_of_hostile_text_are_few_and_quick() -> None:
    for text in (
        "```python\n" * 10_000, "<answer>" * 10_000 + "x = 1", "~" * 50_000 + "`", "`" * 50_000,
        "```\n```py " * 5_000, "```py\n1\n</think>" * 5_000, "<answer>```\n" * 5_000,
        "a/" * 20_000 + ".py", "```" + "a/" * 20_000 + ".py\n1", "\n" * 50_000, "~~~\n" * 10_001 + "def",
    ):  # fmt: skip
        for entry_point in ("area", None):
            assert len(readings(text, entry_point, continued=True)) <= 6
    assert readings("```python\n" * 10_000, "f", False) == []
