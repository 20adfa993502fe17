"""Counting held against loops over samples; what is remembered while a probe is on its way."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from measuring import KEY, PLAN, QUIET, TASK, Counting, measure, small

from evals.records.store import SampleSet, keys_of
from evals.sampling.drawing import REGRADED, Drawing
from evals.sampling.measure import SamplingJob
from evals.sampling.plan import Plan
from rlvr.graders import Status, StringVerifier, Verdict
from rlvr.graders.soundness import StringChecker


def by_loops(job: SamplingJob) -> tuple[list[tuple[int, int]], list[tuple[Any, ...]]]:
    """(samples, right ones) of each problem, and (place, index, digest, status, sound) of each sample."""
    plan, grading = job.plan, job.grading
    stored = job.samples.read(["digest"])
    digests = dict(zip(keys_of(stored, 2), stored["digest"].to_pylist(), strict=True))
    said = grading.verdicts.read(["status"])
    statuses = dict(zip(keys_of(said), said["status"].to_pylist(), strict=True))
    sound: dict[Any, bool | None] = {}
    if grading.looking.table is not None:
        looked = grading.looking.table.read(["sound"])
        sound = dict(zip(keys_of(looked), looked["sound"].to_pylist(), strict=True))
    totals, rows = [], []
    for place, prompt in enumerate(plan.prompt_hashes):
        taken = right = 0
        while taken < plan.n and (plan.stop_r is None or right < plan.stop_r):
            digest = digests[prompt, taken]
            key = (prompt, taken, plan.reference_hashes[place], digest)
            rows.append((place, taken, digest, statuses[key], sound.get(key)))
            right += statuses[key] == Status.CORRECT
            taken += 1
        totals.append((taken, right))
    return totals, rows


def matches(text: str, reference: object) -> tuple[Status, str | None]:
    return (Status.CORRECT if int(text) % 4 == reference else Status.WRONG), text


def thirds(text: str, reference: object) -> bool | None:
    return (True, False, None)[int(text) % 3]


def twins(chance: random.Random, **changes: Any) -> Plan:
    """Problems of which some have equal prompts, some equal references, in any order."""
    problems = [replace(PLAN.problems[i % 5], id=f"p{i}", reference=chance.randrange(4)) for i in range(9)]
    chance.shuffle(problems)
    prompts = tuple(PLAN.prompt_ids[chance.randrange(5)] for _ in problems)
    task = replace(TASK, verifier=StringVerifier(matches, "toy-1"), checker=StringChecker(thirds, "thirds-1"))
    return replace(PLAN, task=task, problems=tuple(problems), prompt_ids=prompts, **changes)


@pytest.mark.parametrize("seed", range(6))
def test_counts_are_those_of_loops(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    plan = twins(chance, n=chance.randint(1, 40), stop_r=chance.choice([None, 1, 3]))
    measure(replace(PLAN, n=3), Counting(), tmp_path)  # others' samples and verdicts lie beside them
    if seed % 2:
        measure(twins(chance, n=50), Counting(), tmp_path)
    found = measure(plan, Counting(), tmp_path)
    counted, (totals, rows) = found.counted(), by_loops(found)
    assert list(zip(counted.counts.n, counted.counts.correct, strict=True)) == totals
    table = counted.table
    columns = (table[name].to_pylist() for name in ("index", "digest", "status", "sound"))
    assert list(zip(counted.owner.tolist(), *columns, strict=True)) == rows


def test_of_two_drawings_of_a_sample_the_verdict_on_the_stored_one_counts(tmp_path: Path) -> None:
    job = measure(replace(PLAN, n=6), Counting(), tmp_path)
    before = job.counted()
    rows = job.grading.verdicts.read(["status", "score", "extracted", "seconds"]).to_pylist()
    other = [row | {"digest": end * 16, "status": "wrong"} for row in rows for end in "0f"]
    job.grading.verdicts.append(other)
    assert job.counted().table.equals(before.table)


def test_what_is_missing_is_counted_in_the_store(tmp_path: Path) -> None:
    plan = twins(random.Random(1), n=7)
    drawn = len({*plan.prompt_ids}) * 7
    job = SamplingJob(plan, SampleSet(tmp_path, KEY), Counting())
    assert job.missing() == drawn == sum(job.missing(rank, 2) for rank in (0, 1))
    measure(replace(plan, n=3), Counting(), tmp_path)
    assert job.missing() == drawn * 4 // 7
    measure(replace(plan, n=9), Counting(), tmp_path)
    assert job.missing() == 0


class Noting:
    """A verifier that notes how many it is given at once."""

    version = "noting-1"

    def __init__(self) -> None:
        self.given: list[int] = []

    def grade(self, items: Sequence[tuple[str, object]]) -> list[Verdict]:
        self.given.append(len(items))
        return [Verdict(small(text, None)[0], 0.0, text) for text, _ in items]


def test_stored_samples_are_graded_part_by_part_and_forgotten(tmp_path: Path) -> None:
    """A new grader over a store of any size holds a few chunks of texts, and no prompt that is done."""
    plan = replace(PLAN, chunk=64)
    measure(plan, Counting(), tmp_path)
    noting = Noting()
    graded = replace(plan, task=replace(TASK, verifier=noting))  # type: ignore[arg-type]
    job = SamplingJob(graded, SampleSet(tmp_path, KEY), Counting())
    drawing = Drawing(graded, job.samples, job.grading, job.engine, QUIET)
    assert drawing.run(iter(graded.groups())) == 0
    assert sum(noting.given) == 1500 and max(noting.given) <= REGRADED * 64 + graded.n
    assert not drawing.present and not job.grading.known
    assert job.counted().counts.samples == 1500
