"""The sample store and measuring: nothing twice, nothing missing, whatever is killed when."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from evals.gap_record import compare
from evals.measure import draw_missing, grade, make_plan
from evals.store import Sample, SampleKey, SampleSet
from rlvr.engines import Completion, Request, Sampling
from rlvr.progress import Display
from rlvr.tasks import Problem, Task
from rlvr.verifiers import Status, StringVerifier

KEY = SampleKey("w", "t", "plain", 0.6, 0.95, 8, "fake", "float32", 0)
QUIET = Display("", 1, 0, Console(quiet=True))


class Letters:
    """Stands for a tokenizer: one token a character."""

    def encode(self, text: str) -> list[int]:
        return [ord(c) for c in text]


class Counting:
    """An engine whose completions tell their seed; it counts what it was asked for."""

    name, dtype = "fake", "float32"

    def __init__(self) -> None:
        self.asked: list[Request] = []

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        self.asked += requests
        for i, r in reversed(list(enumerate(requests))):
            yield i, Completion((r.seed % 97,), (-0.5,), f"{r.seed % 97}", "stop")


def small(text: str, reference: object) -> tuple[Status, str | None]:
    return (Status.CORRECT if int(text) < 30 else Status.WRONG), text


TASK = Task(
    "toy:x",
    [],
    [Problem(str(i), f"problem {i}", None) for i in range(5)],
    StringVerifier("toy-1", small),
    "plain",
    "toy",
)
PLAN = make_plan(TASK, Letters(), Sampling(0.6, 0.95, 8), n=300, max_problems=None, seed=0)


def test_draws_once_and_every_sample_has_its_seed(tmp_path: Path) -> None:
    engine, samples = Counting(), SampleSet(tmp_path, KEY)
    draw_missing(PLAN, engine, samples, QUIET)
    assert len(engine.asked) == len({r.seed for r in engine.asked}) == 1500
    draw_missing(PLAN, engine, samples, QUIET)
    assert len(engine.asked) == 1500
    measured = grade(PLAN, samples)
    assert len(measured.graded) == 5 and all(len(row) == 300 for row in measured.graded)
    assert measured.correct.sum() == sum(r.seed % 97 < 30 for r in engine.asked)


def test_a_larger_n_tops_up(tmp_path: Path) -> None:
    engine, samples = Counting(), SampleSet(tmp_path, KEY)
    draw_missing(replace(PLAN, n=8), engine, samples, QUIET)
    draw_missing(PLAN, engine, samples, QUIET)
    assert len(engine.asked) == len({r.seed for r in engine.asked}) == 1500
    assert samples.count(PLAN.prompts, 300) == 1500


def test_equal_prompts_share_their_samples(tmp_path: Path) -> None:
    twins = replace(PLAN, prompts=(PLAN.prompts[0], *PLAN.prompts[:4]))
    engine, samples = Counting(), SampleSet(tmp_path, KEY)
    draw_missing(twins, engine, samples, QUIET)
    assert len(engine.asked) == 1200 == samples.count(twins.prompts, 300)
    first, second, *_ = grade(twins, samples).graded
    assert [g.sample for g in first] == [g.sample for g in second]


def test_two_ranks_share_the_work(tmp_path: Path) -> None:
    engines, samples = [Counting(), Counting()], SampleSet(tmp_path, KEY)
    for rank in (0, 1):
        draw_missing(PLAN, engines[rank], samples, QUIET, rank, 2)
    assert sorted(len(e.asked) for e in engines) == [600, 900]
    grade(PLAN, samples)


def test_a_missing_sample_is_an_error(tmp_path: Path) -> None:
    samples = SampleSet(tmp_path, KEY)
    draw_missing(replace(PLAN, n=3), Counting(), samples, QUIET)
    with pytest.raises(LookupError, match="problem 0: sample 3 is not stored"):
        grade(PLAN, samples)


def test_keys_part_what_must_not_be_mixed(tmp_path: Path) -> None:
    others = [replace(KEY, weights="v"), replace(KEY, temperature=1.0), replace(KEY, seed=1)]
    assert len({KEY.digest(), *(other.digest() for other in others)}) == 4
    SampleSet(tmp_path, KEY).append([Sample("0", "p", 0, 1, (1,), -0.5, "a", "stop")])
    assert SampleSet(tmp_path, others[0]).present() == set()


def test_a_seeded_subset_of_problems_keeps_their_order() -> None:
    plans = [make_plan(TASK, Letters(), PLAN.sampling, 1, 3, seed) for seed in (0, 0, 1, 2)]
    ids = [[p.id for p in plan.problems] for plan in plans]
    assert ids[0] == ids[1] == sorted(ids[0]) and len({tuple(i) for i in ids}) > 1


def test_comparing_different_problems_is_refused(tmp_path: Path) -> None:
    samples = SampleSet(tmp_path, KEY)
    draw_missing(PLAN, Counting(), samples, QUIET)
    whole = grade(PLAN, samples)
    part = grade(replace(PLAN, problems=PLAN.problems[:3], prompts=PLAN.prompts[:3]), samples)
    with pytest.raises(ValueError, match="different problems"):
        compare(whole, part, 4)


WRITER = """
import sys
from pathlib import Path
from evals.store import Sample, SampleSet
sys.path.insert(0, sys.argv[2])
from test_store import KEY
samples = SampleSet(Path(sys.argv[1]), KEY)
for i in range(10_000):
    samples.append([Sample("0", "p", 2 * i + j, i, (1,) * 500, -0.5, "a" * 500, "stop") for j in (0, 1)])
    if i == 0:
        print("ready", flush=True)
"""


def test_a_writer_killed_at_any_moment_leaves_whole_shards(tmp_path: Path) -> None:
    place = str(Path(__file__).parent)
    for round_ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), place], stdout=subprocess.PIPE
        )
        assert process.stdout is not None and process.stdout.readline()
        time.sleep(0.15 + 0.07 * round_)
        process.kill()
        process.communicate()
        present = {index for _, index in SampleSet(tmp_path, KEY).present()}
        assert present and len(present) % 2 == 0
        assert all(index ^ 1 in present for index in present)
