"""What a checker says: stored once, drawn never, readable from before, compared with like alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from toys import Batched

from evals.records.files import counts_file, read_counts, read_soundness, samples_file
from evals.records.gap_record import GapRecord, compare, read_records
from evals.records.measurement import Measurement
from evals.records.sound_record import SoundRecord
from evals.records.soundness import look
from evals.records.store import SampleKey, SampleSet
from evals.sampling.measure import SamplingJob
from evals.sampling.plan import Plan, make_plan
from rlvr.core.progress import Display
from rlvr.engines import Completion, Request, Sampling
from rlvr.graders import Status, StringVerifier
from rlvr.graders.soundness import Chain, StringChecker
from rlvr.tasks import Problem, Task

KEY = SampleKey("w", "t", "plain", 0.6, 0.95, 8, "fake", "float32", 0)
QUIET = Display("", 1, 0, Console(quiet=True))
GRADED: list[str] = []
LOOKED: list[str] = []


class Letters:
    def encode(self, text: str) -> list[int]:
        return [ord(c) for c in text]


class Numbers(Batched):
    """An engine whose completions tell their seed."""

    name, dtype = "fake", "float32"

    def __init__(self) -> None:
        self.asked = 0

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        self.asked += len(requests)
        for i, r in enumerate(requests):
            yield i, Completion((r.seed % 97,), (-0.5,), f"{r.seed % 97}", "stop")


def small(text: str, reference: object) -> tuple[Status, str | None]:
    GRADED.append(text)
    return (Status.CORRECT if int(text) < 60 else Status.WRONG), text


def thirds(text: str, reference: object) -> bool | None:
    """Sound, unsound, undecided, in turn."""
    LOOKED.append(text)
    return (True, False, None)[int(text) % 3]


CHECKER = StringChecker(thirds, "thirds-1")
PROBLEMS = [Problem(str(i), f"problem {i}", None) for i in range(6)]
UNCHECKED = Task("toy:x", [], PROBLEMS, StringVerifier(small, "toy-1"), "plain")
TASK = replace(UNCHECKED, checker=CHECKER)


def plan(task: Task, n: int = 40) -> Plan:
    return make_plan(task, Letters(), Sampling(0.6, 0.95, 8), n)


def measure(task: Task, root: Path, engine: Numbers | None = None, n: int = 40) -> Measurement:
    measuring = SamplingJob(plan(task, n), SampleSet(root, KEY), engine or Numbers())  # type: ignore[arg-type]
    measuring.run(QUIET)
    return measuring.counted()


def test_a_checker_costs_no_sample_and_no_verdict(tmp_path: Path) -> None:
    engine = Numbers()
    before = measure(UNCHECKED, tmp_path, engine)
    GRADED.clear()
    LOOKED.clear()
    after = measure(TASK, tmp_path, engine)
    assert engine.asked == 240 and not GRADED and len(LOOKED) > 0
    assert before.sound is None and before.counts == after.counts and before.conditions == after.conditions
    LOOKED.clear()
    again = measure(TASK, tmp_path, engine)
    assert not LOOKED and again.table.equals(after.table)
    other = measure(replace(TASK, checker=StringChecker(thirds, "thirds-2")), tmp_path, engine)
    assert LOOKED and engine.asked == 240 and not GRADED and other.soundness == "thirds-2"


def test_counts_are_those_of_the_samples(tmp_path: Path) -> None:
    found = measure(TASK, tmp_path)
    rows = found.table.append_column("owner", pa.array(found.owner)).to_pylist()
    assert found.sound is not None
    for place in range(len(PROBLEMS)):
        right = [row for row in rows if row["owner"] == place and row["status"] == "correct"]
        assert found.sound.unsound[place] == sum(row["sound"] is False for row in right)
        assert found.sound.undecided[place] == sum(row["sound"] is None for row in right)
        assert found.sound.sound.correct[place] == sum(row["sound"] is not False for row in right)


def test_files_carry_what_was_found(tmp_path: Path) -> None:
    found = measure(TASK, tmp_path / "store")
    found.write(tmp_path, SampleSet(tmp_path / "store", KEY))
    read = read_counts(counts_file(tmp_path, "toy:x"))
    assert read.soundness == "thirds-1" and read.sound is not None and found.sound is not None
    assert read.sound.sound == found.sound.sound
    assert read.sound.undecided.tolist() == found.sound.undecided.tolist()
    samples = pq.read_table(samples_file(tmp_path, "toy:x"))
    assert samples["sound"].to_pylist() == found.table["sound"].to_pylist()
    assert read_soundness(samples_file(tmp_path, "toy:x")) == "thirds-1"


def test_files_from_before_are_read(tmp_path: Path) -> None:
    measure(TASK, tmp_path / "store").write(tmp_path, SampleSet(tmp_path / "store", KEY))
    file = counts_file(tmp_path, "toy:x")
    old = pq.read_table(file).drop_columns(["sound", "undecided"])
    pq.write_table(old, file)
    read = read_counts(file)
    assert read.sound is None and read.soundness is None and read.conditions is not None


def test_records_hold_sound_answers_against_sound_answers(tmp_path: Path) -> None:
    base, policy = measure(TASK, tmp_path / "a", n=20), measure(TASK, tmp_path / "b", n=40)
    record = compare(base, policy, 20, step=5, samples_drawn=0)
    assert record.sound is not None and base.sound is not None and policy.sound is not None
    gap = base.sound.sound.pass_at_k(20).mean() - policy.sound.sound.pass_at_k(1).mean()
    assert record.sound.gap == pytest.approx(gap)
    assert record.sound_at(1) == pytest.approx(policy.sound.sound.pass_at_k(1).mean())
    assert record.metrics()["sound_pass@1"] == record.sound_at(1)
    (tmp_path / "probe.jsonl").write_text(json.dumps(record.row()) + "\n")
    assert read_records(tmp_path / "probe.jsonl") == [record]
    assert isinstance(read_records(tmp_path / "probe.jsonl")[0].sound, SoundRecord)


@pytest.mark.parametrize("other", [UNCHECKED, replace(TASK, checker=StringChecker(thirds, "thirds-2"))])
def test_what_was_looked_at_otherwise_is_not_compared(tmp_path: Path, other: Task) -> None:
    """The answers are: a checker does not change them."""
    record = compare(measure(other, tmp_path / "a"), measure(TASK, tmp_path / "b"), 40, 5, 0)
    assert record.sound is None and record.gap is not None and record.soundness == "thirds-1"
    assert not [name for name in record.metrics() if "sound" in name]


def test_a_record_from_before_has_no_soundness(tmp_path: Path) -> None:
    record = compare(measure(UNCHECKED, tmp_path / "a"), measure(UNCHECKED, tmp_path / "b"), 40, 5, 0)
    row = {k: v for k, v in record.row().items() if k not in ("soundness", "sound")}
    (tmp_path / "probe.jsonl").write_text(json.dumps(row) + "\n")
    assert read_records(tmp_path / "probe.jsonl") == [record]
    assert asdict(record)["sound"] is None and isinstance(record, GapRecord)


def test_sampling_to_a_success_leaves_soundness_out(tmp_path: Path) -> None:
    measuring = SamplingJob(
        replace(plan(TASK), stop_r=4),
        SampleSet(tmp_path, KEY),
        Numbers(),  # type: ignore[arg-type]
    )
    measuring.run(QUIET)
    found = measuring.counted()
    assert found.soundness == "thirds-1" and found.sound is None


class Dear:
    """Says of all that they are sound; notes what it is asked."""

    version, of_right_answers = "dear-1", True

    def __init__(self) -> None:
        self.chains: list[Chain] = []

    def check(self, items: Sequence[tuple[str, object]]) -> list[bool | None]:
        raise AssertionError("it asks for the prompt")

    def check_chains(self, chains: Sequence[Chain]) -> list[bool | None]:
        self.chains += chains
        return [True] * len(chains)


def test_a_dear_checker_sees_right_answers_alone_and_what_they_continue(tmp_path: Path) -> None:
    dear = Dear()
    found = measure(replace(TASK, checker=dear), tmp_path / "store")
    right = found.counts.correct.sum()
    assert 0 < len(dear.chains) == right < found.counts.n.sum()
    assert all(int(chain.completion) < 60 and chain.prompt.startswith("problem ") for chain in dear.chains)
    assert found.sound is not None and found.sound.undecided.sum() == 0 and found.sound.unsound.sum() == 0
    rows = zip(found.table["status"].to_pylist(), found.table["sound"].to_pylist(), strict=True)
    assert {*rows} == {("correct", True), ("wrong", None)}
    again = measure(replace(TASK, checker=dear), tmp_path / "store")
    assert len(dear.chains) == right and again.table.equals(found.table)
    found.write(tmp_path, SampleSet(tmp_path / "store", KEY))
    later = Dear()
    later.version = "dear-2"
    looked = look(samples_file(tmp_path, "toy:x"), later)
    prompts = {chain.prompt for chain in later.chains}
    assert len(later.chains) == right and prompts <= {problem.prompt for problem in PROBLEMS}
    assert looked.counts.sound == found.sound.sound
