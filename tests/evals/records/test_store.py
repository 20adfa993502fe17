"""The sample store and measuring: nothing twice, nothing missing, whatever is killed when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from measuring import KEY, PLAN, TASK, Counting, Letters, measure, small

from evals.probe.plugin import probed_task
from evals.records.conditions import ConditionsError
from evals.records.files import samples_file
from evals.records.gap_record import compare
from evals.records.store import SampleSet
from evals.sampling.instrument import Instrument
from evals.sampling.measure import SamplingJob
from evals.sampling.plan import ROUND, Plan, make_plan
from evals.sampling.settings import ProbedTask
from rlvr.engines import Completion, Request, Sampling
from rlvr.graders import Status, StringVerifier
from rlvr.tasks import build_task


def test_draws_once_and_every_sample_has_its_seed(tmp_path: Path) -> None:
    engine = Counting()
    measure(PLAN, engine, tmp_path)
    assert len(engine.asked) == len({r.seed for r in engine.asked}) == 1500
    again = measure(PLAN, engine, tmp_path)
    assert len(engine.asked) == 1500 and again.drawn == again.missing() == 0
    counts = again.counted().counts
    assert counts.n.tolist() == [300] * 5
    assert counts.correct.sum() == sum(r.seed % 97 < 30 for r in engine.asked)


def test_every_sample_is_graded_once_by_each_version_of_a_grader(tmp_path: Path) -> None:
    graded: list[str] = []

    def noting(text: str, reference: object) -> tuple[Status, str | None]:
        graded.append(text)
        return small(text, reference)

    for version in ("toy-1", "toy-1", "toy-2"):
        task = replace(TASK, verifier=StringVerifier(noting, version))
        measure(replace(PLAN, task=task, n=20), Counting(), tmp_path)
        assert len(graded) == (200 if version == "toy-2" else 100)


def test_a_larger_n_tops_up(tmp_path: Path) -> None:
    engine = Counting()
    measure(replace(PLAN, n=8), engine, tmp_path)
    measure(PLAN, engine, tmp_path)
    assert len(engine.asked) == len({r.seed for r in engine.asked}) == 1500


def test_equal_prompts_share_their_samples_and_keep_their_references(tmp_path: Path) -> None:
    def matches(text: str, reference: object) -> tuple[Status, str | None]:
        return (Status.CORRECT if int(text) % 2 == reference else Status.WRONG), text

    problems = (replace(PLAN.problems[0], reference=0), replace(PLAN.problems[1], reference=1))
    task = replace(TASK, verifier=StringVerifier(matches, "toy-1"))
    twins = replace(PLAN, task=task, problems=problems, prompt_ids=(PLAN.prompt_ids[0], PLAN.prompt_ids[0]))
    engine = Counting()
    first, second = measure(twins, engine, tmp_path).counted().counts.correct
    assert len(engine.asked) == 300 == first + second and first > 0 and second > 0


def test_two_ranks_share_the_work(tmp_path: Path) -> None:
    engines = [Counting(), Counting()]
    measuring = [measure(PLAN, engines[rank], tmp_path, rank, 2) for rank in (0, 1)]
    assert sorted(len(e.asked) for e in engines) == [600, 900]
    assert measuring[0].counted().counts.samples == 1500


def test_a_missing_sample_is_an_error(tmp_path: Path) -> None:
    measure(replace(PLAN, n=3), Counting(), tmp_path)
    with pytest.raises(LookupError, match="problem 0: sample 3 is not stored"):
        SamplingJob(PLAN, SampleSet(tmp_path, KEY), Counting()).counted()


def test_stops_at_the_rth_success_in_the_order_of_the_indices(tmp_path: Path) -> None:
    engine = Counting()
    full = measure(PLAN, engine, tmp_path / "full").counted()
    engine.asked.clear()
    counts = measure(replace(PLAN, stop_r=4), engine, tmp_path / "stopped").counted().counts
    right = (full.table["status"].to_numpy(zero_copy_only=False) == "correct").reshape(5, 300)
    stops = [int(np.flatnonzero(row)[3]) + 1 for row in right]
    assert counts.n.tolist() == stops and counts.correct.tolist() == [4] * 5 and counts.n_max == 300
    assert len(engine.asked) < 5 * (max(stops) + ROUND) < 1500


def test_a_shard_that_a_crash_tore_is_set_aside_and_drawn_again(tmp_path: Path) -> None:
    engine = Counting()
    measure(PLAN, engine, tmp_path)
    torn = sorted(tmp_path.rglob("samples/*.parquet"))[0]
    lost = pq.read_table(torn).num_rows
    torn.write_bytes(torn.read_bytes()[:-100])
    engine.asked.clear()
    with pytest.warns(UserWarning, match="cannot be read and was renamed"):
        counts = measure(PLAN, engine, tmp_path).counted().counts
    assert len(engine.asked) == lost and counts.samples == 1500


def test_keys_part_what_must_not_be_mixed(tmp_path: Path) -> None:
    others = [replace(KEY, weights="v"), replace(KEY, temperature=1.0), replace(KEY, seed=1)]
    assert len({KEY.digest(), *(other.digest() for other in others)}) == 4
    measure(PLAN, Counting(), tmp_path)
    assert SampleSet(tmp_path, others[0]).read().num_rows == 0


def test_a_seeded_subset_of_problems_keeps_their_order() -> None:
    plans = [make_plan(TASK, Letters(), PLAN.sampling, 1, 3, seed) for seed in (0, 0, 1, 2)]
    ids = [[p.id for p in plan.problems] for plan in plans]
    assert ids[0] == ids[1] == sorted(ids[0]) and len({tuple(i) for i in ids}) > 1


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (replace(PLAN, problems=PLAN.problems[:3], prompt_ids=PLAN.prompt_ids[:3]), "data: "),
        (replace(PLAN, task=replace(TASK, template="boxed")), "template: plain / boxed"),
        (replace(PLAN, task=replace(TASK, verifier=StringVerifier(small, "toy-2"))), "grader: toy-1 / toy-2"),
        (replace(PLAN, sampling=Sampling(1.0, 0.95, 8)), "temperature: 0.6 / 1.0"),
    ],
)
def test_comparing_what_was_not_measured_alike_is_refused(tmp_path: Path, other: Plan, named: str) -> None:
    one = measure(replace(PLAN, n=4), Counting(), tmp_path / "one").counted()
    two = measure(replace(other, n=4), Counting(), tmp_path / "two").counted()
    with pytest.raises(ConditionsError, match=named):
        compare(one, two, 4, step=0, samples_drawn=0)


def test_shares_are_measured(tmp_path: Path) -> None:
    measured = measure(replace(PLAN, n=60), Counting(), tmp_path).counted()
    ids = [row["digest"] for row in measured.table.to_pylist()]
    unique = [len(set(ids[i : i + 60])) / 60 for i in range(0, 300, 60)]
    assert measured.shares["duplicates"] == pytest.approx(1 - np.mean(unique)) and min(unique) < 1
    assert measured.shares["truncated"] == measured.shares["unparsed"] == 0.0


def test_the_problems_that_are_trained_on_can_be_probed_too() -> None:
    chosen = ProbedTask(name="countdown:3", split="train", train_problems=50)
    task, whole = probed_task(chosen), build_task("countdown:3", train_problems=50)
    assert task.name == "countdown:3/train" and task.test == whole.train
    plan = make_plan(task, Letters(), PLAN.sampling, n=4, max_problems=9)
    assert len({p.id for p in plan.problems} & {p.id for p in whole.train}) == 9
    assert samples_file(Path("x"), task.name) == Path("x/countdown-3-train.samples.parquet")


def test_files_are_written_once_and_again_when_the_counts_differ(tmp_path: Path) -> None:
    few, many = replace(PLAN, n=4), replace(PLAN, n=6)
    file = samples_file(tmp_path / "out", TASK.name)
    stamps = []
    for plan in (few, few, many):
        measuring = measure(plan, Counting(), tmp_path)
        measuring.counted().write(tmp_path / "out", measuring.samples)
        stamps.append(file.stat().st_mtime_ns)
        assert pq.read_table(file).num_rows == 5 * plan.n
    assert stamps[0] == stamps[1] < stamps[2]


def test_a_verdict_speaks_of_the_text_that_was_judged(tmp_path: Path) -> None:
    """A sample that was lost and is drawn again, otherwise than before, is judged again."""
    first = measure(replace(PLAN, n=4), Counting(), tmp_path)
    for shard in tmp_path.rglob("samples/*.parquet"):
        shard.unlink()

    class Other(Counting):
        def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
            for i, _ in enumerate(requests):
                yield i, Completion((5,), (-0.5,), "5", "stop")

    again = measure(replace(PLAN, n=4), Other(), tmp_path)
    assert first.plan == again.plan
    assert again.counted().counts.correct.tolist() == [4] * 5


def test_what_another_process_drew_anew_meanwhile_is_graded_again() -> None:
    class Raced:
        graded = False

        def counted(self) -> str:
            if not self.graded:
                raise LookupError("problem 2: sample 0 is not stored and graded")
            return "counted"

        def run(self, *_: object) -> int:
            self.graded = True
            return 0

    assert Instrument._counted(Raced()) == "counted"  # type: ignore[arg-type, comparison-overlap]
