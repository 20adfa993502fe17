"""How fast are programs and procedural answers graded, and does any forged answer pass? A row for each kind.

    python benchmarks/programs.py [--rounds 3]

Programs are a function and a printing program of a few lines, so that what is measured is the grader; times
are medians of the rounds on one worker, in milliseconds a verdict. Compare two versions interleaved.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from rlvr.graders.code.grader import CodeVerifier
from rlvr.graders.plain_data import decode
from rlvr.graders.procedural.grader import ProceduralVerifier
from rlvr.sandbox import Confinement, choose
from rlvr.tasks.livecodebench import PRELUDE

COUNT = 50
FUNCTION = {
    "id": "area", "prefix": "", "entry_point": "area", "inputs": [[3, 5], [2, 7], [1, 1]],
    "expected": [15, 14, 1], "solution": None, "comparison": "equal", "tolerance": 0.0,
}  # fmt: skip
PRINTING = FUNCTION | {
    "prefix": PRELUDE, "entry_point": None, "inputs": ["3 5", "2 7", "1 1"], "expected": ["15", "14", "1"]
}  # fmt: skip
DEFINES = "```python\ndef area(w, h):\n    return w * h\n```\n"
READS = "```python\nw, h = map(int, input().split())\nprint(w * h)\n```\n"
PROGRAMS = {
    "function": (DEFINES, FUNCTION),
    "function, sample output behind it": (DEFINES + "```\n15\n```\n", FUNCTION),
    "function, imports numpy": (DEFINES.replace("def", "import numpy\ndef"), FUNCTION),
    "printing program, three tests": (READS, PRINTING),
}
DATA_SETS = ("chain_sum", "countdown", "simple_integration", "spiral_matrix")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="times that every verdict is made")
    report(parser.parse_args().rounds)


def report(rounds: int) -> None:
    confinement = choose()
    print(f"workers: {confinement.name}")
    code = CodeVerifier(confinement, workers=1)
    for title, (completion, reference) in PROGRAMS.items():
        row(title, rounds, code, [(completion, reference)] * COUNT)
    for name in DATA_SETS:
        procedural(name, confinement, rounds)


def procedural(name: str, confinement: Confinement, rounds: int) -> None:
    """The entries' own answers; then one that is code, which must not pass."""
    verifier = ProceduralVerifier(name, confinement, workers=1)
    entries = [verifier.draw(index) for index in range(COUNT)]
    row(name, rounds, verifier, [(f"<answer>{decode(e)['answer']}</answer>", {"entry": e}) for e in entries])
    forged = "<answer>(exec)(\"import os; os.write(3, b'+1.0'); os._exit(0)\")</answer>"
    passed = sum(verifier(forged, {"entry": entry}).correct for entry in entries)
    print(f"{'':<36} {passed} of {COUNT} forged answers pass")


def row(title: str, rounds: int, verifier: Callable[..., Any], items: Sequence[tuple[str, Any]]) -> None:
    right = all(verifier(*item).correct for item in items)  # and the worker has started
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        for item in items:
            verifier(*item)
        times.append(1e3 * (time.perf_counter() - start) / len(items))
    print(f"{title:<36} {median(times):6.1f} ms a verdict, {'all right' if right else 'NOT ALL RIGHT'}")


if __name__ == "__main__":
    main()
