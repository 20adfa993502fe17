"""The rows of `verifiers.py` that time the math grader beside plain math-verify, and on hostile answers."""

from __future__ import annotations

import time
from collections import Counter
from statistics import median, quantiles

import math_verify
from verifiers_right import STRICT, Pair, boxed, corpus, row

from rlvr.graders import Status
from rlvr.graders.math.equality.compare import Rules, compare
from rlvr.graders.math.grader import SECONDS, algebra

SLOWEST = 2.6


def pairs(name: str) -> list[Pair]:
    """(given, wanted) of a corpus."""
    return [(r["given"], r["wanted"]) for r in corpus(name)]


def strict(pair: Pair) -> bool:
    return STRICT(boxed(pair[0]), pair[1]).correct


def plain(pair: Pair) -> bool:
    given, wanted = (math_verify.parse(rf"$\boxed{{{text}}}$", parsing_timeout=None) for text in pair)
    return math_verify.verify(wanted, given, timeout_seconds=None)


def beside_math_verify(rounds: int) -> None:
    """Each pair counts with the median of its rounds, the two in turn."""
    print(f"workers: {algebra().confinement.name}")
    equal, different = pairs("math_equal"), pairs("math_different")
    honest = equal + different
    for grade in (strict, plain):  # what starts or is loaded once
        grade((r"\sqrt{8}", r"2\sqrt{2}"))
    graders = {"strict": strict, "math-verify": plain}
    times: dict[str, dict[Pair, list[float]]] = {name: {} for name in graders}
    right: dict[str, dict[Pair, bool]] = {name: {} for name in graders}
    for _ in range(rounds):
        for pair in honest:
            for name, grade in graders.items():
                start = time.perf_counter()
                right[name][pair] = grade(pair)
                times[name].setdefault(pair, []).append(time.perf_counter() - start)
    hits, false = (sum(right["math-verify"][p] for p in group) for group in (equal, different))
    row(
        "labelled pairs, plain math-verify: precision / recall",
        f"{hits / (hits + false):.2%} / {hits / len(equal):.2%}",
    )
    spent = {name: {pair: median(t) for pair, t in own.items()} for name, own in times.items()}
    by_string = {pair for pair in honest if compare(*pair, Rules()) is not None}
    groups = {"all": honest, "by string code": [p for p in honest if p in by_string]}
    groups["by algebra"] = [p for p in honest if p not in by_string]
    for title, group in groups.items():
        own, other = ([spent[name][p] for p in group] for name in graders)
        middle = median(a / b for a, b in zip(own, other, strict=True))
        tails = [1e3 * quantiles(seconds, n=100)[98] for seconds in (own, other)]
        row(
            f"strict, {title}, {len(group)} pairs: time / math-verify",
            f"{sum(own) / sum(other):.2f} in all, {middle:.2f} in the median; "
            f"p50 {1e3 * median(own):.2f} ms, p99 {tails[0]:.0f} ms (math-verify {tails[1]:.0f} ms)",
        )


def of_hostile_answers() -> None:
    verdicts = [STRICT(boxed(given), wanted) for given, wanted in pairs("math_hostile")]
    counts = Counter(verdict.status for verdict in verdicts)
    shown = ", ".join(f"{counts[status]} {status}" for status in Status)
    slowest = max(verdict.seconds for verdict in verdicts)
    row(
        "hostile answers taken for right",
        f"{counts[Status.CORRECT]} of {len(verdicts)}",
        "0",
        not counts[Status.CORRECT],
    )
    row("hostile answers, slowest verdict", f"{slowest:.2f} s", f"<= {SLOWEST} s", slowest <= SLOWEST)
    print(f"    {shown}; deadline {SECONDS} s")
