"""Times of the graders beside those of another git revision, pair by pair in turn.

Each revision grades in a process of its own, which measures what a verdict takes; so both have the same load
beside them, and neither imports the other's modules.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

from programs import PROGRAMS
from verifiers_right import boxed, corpus, row

ROOT = Path(__file__).resolve().parent.parent
# More than this ratio is slower, and not the scatter of a busy machine.
SCATTER = 1.05
# Run with the revision's tree first on the path; packages had other names before.
SERVER = """
import importlib, json, sys, time
def first(*names):
    for name in names:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            pass
    raise SystemExit("no grader at " + ", ".join(names))
# An editable installation would give what this tree lacks.
sys.meta_path[:] = [finder for finder in sys.meta_path if "__editable__" not in str(finder)]
math = first("rlvr.graders.math.grader", "rlvr.verifiers.math").MathVerifier("qwen_boxed", "strict")
code = first("rlvr.graders.code.grader", "rlvr.verifiers.code").CodeVerifier
code = code(first("rlvr.sandbox", "rlvr.confined").choose(), workers=1)
for line in sys.stdin:
    kind, *item = json.loads(line)
    start = time.perf_counter()
    correct = (math if kind == "math" else code)(*item).correct
    print(json.dumps([correct, time.perf_counter() - start]), flush=True)
"""


def report(revision: str | None, rounds: int) -> None:
    if revision is None:
        row("strict and programs beside another revision", "skipped: give --before REV")
        return
    with checked_out(revision) as tree, Server(tree) as old, Server(ROOT) as new:
        honest = [("math", boxed(r["given"]), r["wanted"]) for n in NAMES for r in corpus(n)]
        before, after = timed(old, new, honest, rounds)
        for name, of in (("median", median), ("p99", lambda s: quantiles(s, n=100)[98])):
            compared(
                f"strict, {name} of {len(honest)} pairs, ms", 1e3 * of(before), 1e3 * of(after), revision
            )
        ratio = median(b / a for a, b in zip(before, after, strict=True))
        row("strict, median of the pairs' ratios", f"{ratio:.2f}", f"<= {SCATTER}", ratio <= SCATTER)
        hostile = [("math", boxed(r["given"]), r["wanted"]) for r in corpus("math_hostile")]
        before, after = timed(old, new, hostile, 1)
        compared("hostile answers, slowest verdict, s", max(before), max(after), revision)
        for title in ("function", "printing program, three tests"):
            items = [("code", *PROGRAMS[title])] * 100
            before, after = timed(old, new, items, 1)
            compared(f"{title}, ms a program", 1e3 * median(before), 1e3 * median(after), revision)


NAMES = ("math_equal", "math_different")


def compared(title: str, before: float, after: float, revision: str) -> None:
    ratio = after / before
    figure = f"{after:.2f}, at {revision[:10]} {before:.2f}: {ratio:.2f}"
    row(title, figure, f"<= {SCATTER}", ratio <= SCATTER)


def timed(old: Server, new: Server, items: list[Any], rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of each item at the two revisions: the median of the rounds, each first every other time."""
    spent: tuple[list[list[float]], list[list[float]]] = ([[] for _ in items], [[] for _ in items])
    for server in (old, new):
        for item in items[:: max(1, len(items) // 10)]:  # workers start
            server.ask(item)
    for turn in range(rounds):
        for number, item in enumerate(items):
            order = ((0, old), (1, new)) if (turn + number) % 2 else ((1, new), (0, old))
            for side, server in order:
                spent[side][number].append(server.ask(item)[1])
    return [median(times) for times in spent[0]], [median(times) for times in spent[1]]


class Server:
    """A process that grades with the packages of one tree."""

    def __init__(self, tree: Path):
        command = [sys.executable, "-c", f"import sys; sys.path[:0] = [{str(tree)!r}]\n{SERVER}"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tree,
            env={"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def ask(self, item: Any) -> tuple[bool, float]:
        """Whether it is right, and seconds."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(item) + "\n")
        self._process.stdin.flush()
        correct, seconds = json.loads(self._process.stdout.readline())
        return correct, seconds


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """The package of a revision, in a temporary directory."""
    command = ["git", "-C", str(ROOT), "archive", revision, "rlvr"]
    archive = subprocess.run(command, check=True, capture_output=True).stdout
    with TemporaryDirectory() as directory, tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(directory, filter="data")
        yield Path(directory)
