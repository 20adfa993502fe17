"""How right and how fast is the strict math grader? Prints precision, recall and times on the corpus.

    python benchmarks/verifiers.py [--rounds 3]

Times are ratios to plain math-verify (`parse` and `verify` with its timeouts off, no confinement) on the
same pairs, interleaved. Plain math-verify runs in this process, which loads what the worker loads. The
hostile answers are for the grader alone: plain math-verify would not come back from them.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections import Counter
from pathlib import Path
from statistics import median, quantiles

import math_verify

from rlvr.graders import Status
from rlvr.graders.math.equality.compare import compare
from rlvr.graders.math.grader import SECONDS, MathVerifier, algebra

CORPORA = Path(__file__).resolve().parent.parent / "tests" / "rlvr" / "graders" / "corpora"
STRICT = MathVerifier("qwen_boxed", "strict")

Pair = tuple[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="times that every honest pair is graded")
    rounds = parser.parse_args().rounds
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    equal, different, hostile = (pairs(name) for name in ("math_equal", "math_different", "math_hostile"))
    print(f"{len(equal)} equal pairs, {len(different)} different, {len(hostile)} hostile answers")
    print(f"workers: {algebra().confinement.name}")
    for grade in (strict, plain):  # what starts or is loaded once
        grade((r"\sqrt{8}", r"2\sqrt{2}"))
    honest = equal + different
    times: dict[str, dict[Pair, list[float]]] = {"strict": {}, "math-verify": {}}
    right: dict[str, dict[Pair, bool]] = {"strict": {}, "math-verify": {}}
    for _ in range(rounds):
        for pair in honest:
            for name, grade in (("strict", strict), ("math-verify", plain)):
                start = time.perf_counter()
                right[name][pair] = grade(pair)
                times[name].setdefault(pair, []).append(time.perf_counter() - start)
    for name in right:
        print(f"{name:<12} {quality(right[name], equal, different)}")
    print_times(times, honest)
    print_hostile(hostile)


def pairs(name: str) -> list[Pair]:
    """(given, wanted) of a corpus."""
    rows = map(json.loads, (CORPORA / f"{name}.jsonl").read_text().splitlines())
    return [(row["given"], row["wanted"]) for row in rows]


def strict(pair: Pair) -> bool:
    return STRICT(rf"\boxed{{{pair[0]}}}", pair[1]).correct


def plain(pair: Pair) -> bool:
    given, wanted = (math_verify.parse(rf"$\boxed{{{text}}}$", parsing_timeout=None) for text in pair)
    return math_verify.verify(wanted, given, timeout_seconds=None)


def quality(right: dict[Pair, bool], equal: list[Pair], different: list[Pair]) -> str:
    true, false = sum(right[p] for p in equal), sum(right[p] for p in different)
    return (
        f"precision {true / (true + false):.2%} ({false} different pairs taken for equal), "
        f"recall {true / len(equal):.2%} ({len(equal) - true} equal pairs not found)"
    )


def print_times(times: dict[str, dict[Pair, list[float]]], honest: list[Pair]) -> None:
    """Each pair counts with the median of its rounds."""
    spent = {name: {pair: median(t) for pair, t in rows.items()} for name, rows in times.items()}
    by_string = {pair for pair in honest if compare(*pair, lenient=False) is not None}
    groups = {"all": honest, "by string code": [p for p in honest if p in by_string]}
    groups["by algebra"] = [p for p in honest if p not in by_string]
    for title, group in groups.items():
        own, other = ([spent[name][p] for p in group] for name in ("strict", "math-verify"))
        ratio = sum(own) / sum(other)
        middle = median(a / b for a, b in zip(own, other, strict=True))
        tails = [1e3 * quantiles(seconds, n=100)[98] for seconds in (own, other)]
        print(
            f"{title:<15} {len(group):>4} pairs: time / math-verify {ratio:.2f} in all, {middle:.2f} in the "
            f"median; p50 {1e3 * median(own):.1f} ms, p99 {tails[0]:.1f} ms (math-verify {tails[1]:.1f} ms)"
        )


def print_hostile(hostile: list[Pair]) -> None:
    verdicts = [STRICT(rf"\boxed{{{given}}}", wanted) for given, wanted in hostile]
    counts = Counter(verdict.status for verdict in verdicts)
    shown = ", ".join(f"{counts[status]} {status}" for status in Status)
    slowest = max(verdict.seconds for verdict in verdicts)
    print(f"hostile: {shown}; slowest {slowest:.2f} s, deadline {SECONDS} s")


if __name__ == "__main__":
    main()
