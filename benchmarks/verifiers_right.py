"""The rows of `verifiers.py` that count right and wrong verdicts."""

from __future__ import annotations

import json
import os
import random
import re
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rlvr.graders.math.grader import MathVerifier
from rlvr.graders.math.study.grader import StudyVerifier
from rlvr.sandbox import BUBBLEWRAP, LANDLOCK
from rlvr.sandbox.choice import tested
from rlvr.tasks import build_task

# The tables of two tests are measured here, too.
sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "rlvr" / "graders"))
CORPORA = Path(__file__).resolve().parent.parent / "tests" / "rlvr" / "graders" / "corpora"
STRICT, LENIENT = (MathVerifier("qwen_boxed", grader) for grader in ("strict", "lenient"))
DATA_SETS = ("math500", "minerva_math", "olympiadbench", "aime24", "amc23", "omni_math_rule", "gsm8k")

Pair = tuple[str, str]


def row(title: str, figure: str, goal: str = "", met: bool | None = None) -> None:
    verdict = {True: "met", False: "MISSED", None: ""}[met]
    print(f"{title:<58} {figure:<28} {goal:<16} {verdict}".rstrip(), flush=True)


def corpus(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (CORPORA / f"{name}.jsonl").read_text().splitlines()]


def boxed(answer: str) -> str:
    return rf"Hence \boxed{{{answer}}}."


def right(verifier: Any, pairs: Sequence[Pair]) -> list[bool]:
    return [verdict.correct for verdict in verifier.grade(pairs)]


def of_real_data() -> None:
    if not os.environ.get("RLVR_DATA"):
        row("GSM8K solutions, swapped references", "skipped: set RLVR_DATA")
        return
    problems = solutions(300)
    for title, pairs, goal in (
        ("GSM8K, number and next word in the tag", [(with_noun(s, n), n) for s, n in problems], 297),
        ("GSM8K, last sentence in the tag", [(s.splitlines()[-1], n) for s, n in problems], 285),
    ):
        tagged = [(f"<think> so </think> <answer> {text} </answer>", number) for text, number in pairs]
        for name in ("strict", "lenient"):
            count = sum(right(MathVerifier("r1_zero", name), tagged))
            row(f"{title}, {name}", f"{count} of {len(pairs)}", f">= {goal}", count >= goal)
    pairs = swapped(3000)
    for verifier in (STRICT, LENIENT):
        accepted = [pair for pair, ok in zip(pairs, right(verifier, pairs), strict=True) if ok]
        met = not accepted if verifier is STRICT else None
        row(f"references of other problems, {verifier.grader}", f"{len(accepted)} of {len(pairs)}", "0", met)
        for pair in accepted[:5]:
            print("   ", *pair)


def solutions(count: int) -> list[Pair]:
    """GSM8K's first worked solutions without their calculator notes, and their numbers."""
    path = next(
        p for p in (Path(os.environ["RLVR_DATA"], d, "gsm8k.jsonl") for d in ("", "math")) if p.exists()
    )
    rows = [json.loads(line)["answer"] for line in path.read_text().splitlines()[:count]]
    parts = [re.sub("<<.*?>>", "", text).rpartition("####") for text in rows]
    return [(solution.strip(), number.strip()) for solution, _, number in parts]


def with_noun(solution: str, number: str) -> str:
    """The number with the noun that follows it where it stands last, or alone where none does."""
    found = re.findall(rf"(?<![\d.,]){re.escape(number)} +([a-zA-Z][\w&'-]+)", solution)
    return f"{number} {found[-1]}" if found else number


def swapped(count: int) -> list[Pair]:
    """Each reference of a random order, answered with that of another problem of its data set."""
    rng = random.Random(0)
    pairs = []
    for name in DATA_SETS:
        task = build_task(name, source=os.environ["RLVR_DATA"], template="plain")
        answers = [p.reference for p in (*task.train, *task.test)]
        pairs += list(zip(rng.sample(answers, len(answers)), answers, strict=True))
    spelled = [pair for pair in pairs if bare(pair[0]) != bare(pair[1])]
    return [(boxed(given), wanted) for given, wanted in rng.sample(spelled, count)]


def bare(answer: str) -> str:
    return re.sub(r"[\s$]", "", answer)


def of_case_files(directory: Path | None) -> None:
    data = os.environ.get("RLVR_DATA")
    directory = directory or (Path(data).parent / "cases" if data else None)
    names = ("math_graders", "public_reports")
    if directory is None or not all((directory / f"{name}.jsonl").exists() for name in names):
        row("case files", "skipped: give --cases DIR")
        return
    for name in names:
        rows = [json.loads(line) for line in (directory / f"{name}.jsonl").read_text().splitlines()]
        asked = [r | (r["input"] if isinstance(r.get("input"), dict) else {}) for r in rows]
        asked = [r for r in asked if {"template", "completion", "reference", "expected"} <= set(r)]
        wrong = [
            r for r in asked
            if MathVerifier(r["template"], "strict")(r["completion"], r["reference"]).correct
            != (r["expected"] == "correct")
        ]  # fmt: skip
        figure = f"{len(asked) - len(wrong)} of {len(asked)}"
        if len(asked) < len(rows):
            figure += f", {len(rows) - len(asked)} others left out"
        row(f"math cases of {name}, strict", figure, "all", not wrong)
        for r in wrong:
            print("   ", r["id"], r["completion"], "beside", r["reference"])


def of_corpora() -> None:
    labelled = [(r["given"], r["wanted"], True) for r in corpus("math_equal")]
    labelled += [(r["given"], r["wanted"], False) for r in corpus("math_different")]
    statements = [(r["given"], r["wanted"], r["equal"]) for r in corpus("math_statements")]
    for name in ("strict", "lenient"):
        for title, rows in (("labelled pairs", labelled), ("model-like answers", statements)):
            verdicts = right(MathVerifier("qwen_boxed", name), [(boxed(g), w) for g, w, _ in rows])
            quality(f"{title}, {name}", verdicts, [equal for *_, equal in rows], name)
        places = corpus("math_places")
        verdicts = [MathVerifier(r["template"], name)(r["completion"], r["wanted"]).correct for r in places]
        quality(f"whose and which answer counts, {name}", verdicts, [r["equal"] for r in places], name)


def quality(title: str, verdicts: list[bool], equal: list[bool], grader: str) -> None:
    """Goals are strict's alone: lenient is meant to take more for equal."""
    both = list(zip(verdicts, equal, strict=True))
    hits, false, missed = (both.count(kind) for kind in ((True, True), (True, False), (False, True)))
    figure = f"{hits / (hits + false):.2%} / {hits / (hits + missed):.2%} of {len(both)}"
    met = not false and not missed if grader == "strict" else None
    row(f"{title}: precision / recall", figure, "100 % / 100 %" if grader == "strict" else "", met)


def of_near_misses() -> None:
    from test_math_near_misses import NEAR_MISSES

    for verifier in (STRICT, LENIENT):
        count = sum(right(verifier, [(boxed(given), wanted) for given, wanted in NEAR_MISSES]))
        row(
            f"formulas equal at many points, {verifier.grader}",
            f"{count} of {len(NEAR_MISSES)}",
            "0",
            not count,
        )


def of_the_study(oracle: Path | None) -> None:
    if oracle is None:
        row("study beside the published code", "skipped: give --oracle FILE")
        return
    rows = [json.loads(line) for line in oracle.read_text().splitlines()]
    same = 0
    for kind in sorted({(r["template"], r["units"]) for r in rows}):
        own = [r for r in rows if (r["template"], r["units"]) == kind]
        verdicts = right(StudyVerifier(*kind), [(r["completion"], r["reference"]) for r in own])
        same += sum(verdict == r["correct"] for verdict, r in zip(verdicts, own, strict=True))
    figure = f"{same} of {len(rows)}, {same / len(rows):.2%}"
    row("study beside the published code, same verdicts", figure, ">= 99.5 %", same >= 0.995 * len(rows))


def of_forgeries(every: int) -> None:
    """Every data set whose scorer evaluates text, every answer that is code, under each mechanism here."""
    if find_spec("reasoning_gym") is None:
        row("forged passes", "skipped: needs reasoning-gym")
        return
    from test_forged_answers import NAMES, tries

    from rlvr.graders.procedural.grader import ProceduralVerifier

    answers = list(tries())[::every]
    for confinement in (BUBBLEWRAP, LANDLOCK):
        if tested(confinement):
            row(f"forged passes, {confinement.name}", "skipped: it cannot confine here")
            continue
        passed = 0
        pool = None
        for name in NAMES:
            verifier = ProceduralVerifier(
                name, confinement, '{"seed": 0, "size": 10}', seconds=3.0, workers=1
            )
            pool = verifier.pool = pool or verifier.pool
            entry = {"entry": verifier.draw(0)}
            passed += sum(verifier(f"<answer>{answer}</answer>", entry).score >= 1.0 for answer in answers)
        row(f"forged passes, {confinement.name}", f"{passed} of {len(answers) * len(NAMES)}", "0", not passed)
