"""Which part of a completion is the program, and that programs run as they stand: tables with near misses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from program_cases import (
    CONTINUED,
    FUNCTION,
    INPUT,
    OTHER,
    PRELUDED,
    READS,
    RIGHT,
    check,
    fenced,
    program_verifier,
)

from rlvr.graders import Status
from rlvr.graders.code.grader import CodeVerifier
from rlvr.graders.code.readings import readings

CORRECT, WRONG, UNPARSED = Status.CORRECT, Status.WRONG, Status.UNPARSED


@pytest.fixture(scope="module")
def verifier() -> Iterator[CodeVerifier]:
    yield from program_verifier()


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


def test_readings_of_hostile_text_are_few_and_quick() -> None:
    for text in (
        "```python\n" * 10_000, "<answer>" * 10_000 + "x = 1", "~" * 50_000 + "`", "`" * 50_000,
        "```\n```py " * 5_000, "```py\n1\n</think>" * 5_000, "<answer>```\n" * 5_000,
        "a/" * 20_000 + ".py", "```" + "a/" * 20_000 + ".py\n1", "\n" * 50_000, "~~~\n" * 10_001 + "def",
    ):  # fmt: skip
        for entry_point in ("area", None):
            assert len(readings(text, entry_point, continued=True)) <= 6
    assert readings("```python\n" * 10_000, "f", False) == []
