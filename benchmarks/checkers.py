"""How fast are the checkers of reasoning? Prints chains per minute of one core, and the time of re-grading.

    python benchmarks/checkers.py [--samples 51200]

`steps` reads countdown chains, sound and with a wrong step; `arithmetic` chains of the kind that models write
to word problems, eight equalities each, and GSM8K's own rationales where the data is there (RLVR_DATA). No
two chains of a set are equal, since equal ones are decided once. Re-grading is `python -m evals sound` on as
many stored samples, files read and written.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evals.commands import sound
from evals.records.conditions import Conditions
from evals.records.files import COUNTS, SAMPLES, Origin, counts_file, samples_file, stamped
from rlvr.graders.countdown import countdown_verifier
from rlvr.graders.soundness import build_checker
from rlvr.tasks.countdown import pretraining_texts, random_solution

DATA = Path(os.environ.get("RLVR_DATA", "shared/data")) / "math" / "gsm8k_train.jsonl"
PROBLEMS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--samples", type=int, default=51_200, help="stored samples that are graded again")
    samples = parser.parse_args().samples
    countdown = countdown_chains(20_000)
    show("steps", "countdown chains", countdown)
    show("arithmetic", "word problems, 8 equalities", [(word_problem(i), None) for i in range(2_000)])
    if DATA.exists():
        rows = [json.loads(line)["answer"] for line in DATA.read_text().splitlines()]
        show("arithmetic", "GSM8K's rationales", [(row, None) for row in rows])
    regrade(countdown[:: len(countdown) // PROBLEMS], samples)


def countdown_chains(count: int) -> list[tuple[str, dict[str, Any]]]:
    """Different chains, every second with a digit more in its first step."""
    made: dict[str, dict[str, Any]] = {}
    for number, (prompt, text) in enumerate(pretraining_texts(0, 0.5, 0.5)):
        numbers, target = prompt.strip().split(" make ")
        reference = {"numbers": [*map(int, numbers.split())], "target": int(target)}
        made.setdefault(text.replace("=", "=1", 1) if number % 2 else text, reference)
        if len(made) == count:
            return [*made.items()]
    raise AssertionError("the texts are endless")


def word_problem(number: int) -> str:
    rng = random.Random(number)
    lines = []
    for step in range(8):
        a, b = rng.randint(2, 99), rng.randint(2, 99)
        lines.append(
            f"Step {step + 1}: the shop sells {a} boxes of {b} apples, so {a} * {b} = {a * b} apples."
        )
    return "\n".join(lines)


def show(name: str, what: str, items: Sequence[tuple[str, Any]]) -> None:
    checker = build_checker(name)
    assert checker is not None
    begun = time.process_time()
    found = checker.check(items)
    spent = time.process_time() - begun
    said = ", ".join(
        f"{found.count(v)} {word}" for v, word in ((True, "sound"), (False, "unsound"), (None, "open"))
    )
    print(
        f"{checker.version:<13} {what}: {60 * len(items) / spent:>10,.0f} chains a minute and core ({said})"
    )


def regrade(problems: list[tuple[str, dict[str, Any]]], samples: int) -> None:
    """A file of stored samples, as a probe leaves it, graded and written again. problems: with references."""
    each = samples // PROBLEMS
    with tempfile.TemporaryDirectory() as name:
        directory, rows, counts = Path(name), [], []
        rng = random.Random(0)
        for problem, (_, reference) in enumerate(problems):
            texts = [random_solution(rng, tuple(reference["numbers"])).text() for _ in range(each)]
            own = [(text, countdown_verifier(text, reference)) for text in texts]
            rows += [
                {"problem": str(problem), "index": i, "text": text, "token_ids": [1] * 30, "tokens": 30,
                 "logprob": -1.0, "finish_reason": "stop", "status": str(v.status), "extracted": v.extracted}
                for i, (text, v) in enumerate(own)
            ]  # fmt: skip
            counts.append(
                {"problem": str(problem), "n": each, "correct": sum(v.correct for _, v in own),
                 "n_max": each, "prompt": "", "reference": json.dumps(reference)}
            )  # fmt: skip
        about = Conditions("countdown:3", "d", "plain", "countdown-1", 0.6, 0.95, 64)
        origin = Origin("w", "t", "hf", "float32", 0)
        for made, schema, file in (
            (counts, COUNTS, counts_file(directory, about.task)),
            (rows, SAMPLES, samples_file(directory, about.task)),
        ):
            pq.write_table(pa.Table.from_pylist(made, stamped(schema, about, origin)), file)
        begun = time.monotonic()
        sound.main([str(samples_file(directory, about.task)), "write=true"])
        print(f"{len(rows):,} stored samples graded again and written: {time.monotonic() - begun:.1f} s")


if __name__ == "__main__":
    main()
