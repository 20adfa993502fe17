"""How fast are programs and procedural answers graded, and does any forged answer pass? A row for each kind.

    python benchmarks/programs.py [--rounds 3]
    python benchmarks/programs.py --before REV [--rounds 3]

Programs are a function and a printing program of a few lines, so that what is measured is the grader; times
are medians of the rounds on one worker, in milliseconds a verdict. --before: 2,048 programs of which one in
eight is distinct, in one call, by the graders of a git revision and by these in turn; CPU seconds of all
processes that take part, and their ratio.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from probe_stream import ROOT, checked_out

from rlvr.graders.code.grader import CodeVerifier
from rlvr.graders.plain_data import decode
from rlvr.graders.procedural.grader import ProceduralVerifier
from rlvr.sandbox import Confinement, choose
from rlvr.tasks.programs.livecodebench import PRELUDE

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
# Programs in one call, and how many of them are equal.
ALL, EQUAL = 2048, 8
# Grades what a line says, once for each line, by the packages of its working directory.
GRADES = """
import json, os, sys
from pathlib import Path
sys.meta_path[:] = [finder for finder in sys.meta_path if "__editable__" not in str(finder)]
sys.path[:0] = [os.getcwd()]
from rlvr.graders.code.grader import CodeVerifier
from rlvr.sandbox import choose

def spent():
    "Clock ticks of this process and of all below it, with those that have ended."
    ticks, parents = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        process = int(stat.parent.name)
        ticks[process], parents[process] = sum(map(int, fields[11:15])), int(fields[1])
    def own(process):
        while process and process != os.getpid():
            process = parents.get(process, 0)
        return bool(process)
    return sum(each for process, each in ticks.items() if own(process))

verifier = CodeVerifier(choose())
for line in sys.stdin:
    items = json.loads(line)
    before = spent()
    verdicts = verifier.grade(items)
    taken = (spent() - before) / os.sysconf("SC_CLK_TCK")
    print(json.dumps([taken, sum(verdict.correct for verdict in verdicts)]), flush=True)
"""
DATA_SETS = ("chain_sum", "countdown", "simple_integration", "spiral_matrix")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="times that every verdict is made")
    parser.add_argument("--before", help="a git revision whose grader takes the same programs in turn")
    options = parser.parse_args()
    if options.before is None:
        report(options.rounds)
    else:
        held_against(options.before, options.rounds)


def report(rounds: int) -> None:
    confinement = choose()
    print(f"workers: {confinement.name}")
    code = CodeVerifier(confinement, workers=1)
    for title, (completion, reference) in PROGRAMS.items():
        row(title, rounds, code, [(completion, reference)] * COUNT)
    for name in DATA_SETS:
        procedural(name, confinement, rounds)


def held_against(revision: str, rounds: int) -> None:
    """CPU seconds of equal programs at a revision and here."""
    with checked_out(revision) as tree, grading(tree) as old, grading(ROOT) as new:
        for side in (old, new):
            graded(side, programs(0)[:EQUAL])  # workers start
        pairs = []
        for turn in range(1, rounds + 1):
            sides = (old, new) if turn % 2 else (new, old)
            taken = {side: graded(side, programs(turn)) for side in sides}
            pairs.append((taken[old], taken[new]))
            print(f"{revision} {taken[old]:.1f} s, this tree {taken[new]:.1f} s of CPU", flush=True)
        for side in (old, new):
            side.communicate()
    ratios = [before / after for before, after in pairs]
    print(
        f"{ALL:,} programs, one in {EQUAL} distinct: {median(ratios):.2f} times less CPU time than at "
        f"{revision} [{min(ratios):.2f}, {max(ratios):.2f}]"
    )


def programs(turn: int) -> list[tuple[str, dict[str, Any]]]:
    """Of 32 problems, each program as often as others, and none that another turn has."""
    items = []
    for number in range(ALL):
        distinct = number % (ALL // EQUAL)
        body = DEFINES.replace("return", f"unused = {turn * ALL + distinct}\n    return")
        items.append((body, FUNCTION | {"id": f"area {distinct % 32}"}))
    return items


def grading(tree: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", GRADES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tree
    )


def graded(side: subprocess.Popen[str], items: Sequence[tuple[str, dict[str, Any]]]) -> float:
    """CPU seconds of a side for all of these, which it has to find right."""
    assert side.stdin is not None and side.stdout is not None
    side.stdin.write(json.dumps(items) + "\n")
    side.stdin.flush()
    taken, right = json.loads(side.stdout.readline())
    assert right == len(items), f"{right} of {len(items)} programs are right"
    return taken


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
