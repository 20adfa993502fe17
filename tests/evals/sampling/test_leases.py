"""Of processes that draw the same samples at once, one draws each, and a dead one holds nobody up."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import killed_probe
import pytest
from forked import Forked
from measuring import KEY, QUIET, Letters
from toys import Batched

from evals.records.store import SampleSet
from evals.sampling.drawing import Drawing
from evals.sampling.draws import Draws
from evals.sampling.leases import Leases
from evals.sampling.measure import SamplingJob
from evals.sampling.plan import make_plan
from rlvr.engines import Completion, Request, Sampling
from rlvr.graders import Status, StringVerifier
from rlvr.tasks import Problem, Task


class Counting(Batched):
    """An engine that notes the prompts that it was asked for, in order. before: called at the first."""

    name, dtype = "fake", "float32"
    slots = 4  # so that a problem is asked for at a time

    def __init__(self, before: object = None) -> None:
        self.asked: list[tuple[int, ...]] = []
        self.before = before

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        if not self.asked and callable(self.before):
            self.before()
        self.asked += [r.prompt_ids for r in requests]
        for i, r in enumerate(requests):
            yield i, Completion((r.seed % 97,), (-0.5,), f"{r.seed % 97}", "stop")


TASK = Task(
    "toy:x",
    [],
    [Problem(str(i), f"problem {i}", None) for i in range(4)],
    StringVerifier(lambda text, reference: (Status.CORRECT, text), "toy-1"),
    "plain",
)
PLAN = make_plan(TASK, Letters(), Sampling(0.6, 0.95, 8), n=8, chunk=8)  # a problem a chunk

# Holds the lease on a prompt, in a process of its own, until it is killed.
HOLDER = """
import sys, time
from pathlib import Path
from evals.sampling.leases import Leases
with Leases(Path(sys.argv[1])) as leases:
    print(int(leases.take(sys.argv[2])), flush=True)
    time.sleep(600)
"""


@pytest.fixture
def samples(tmp_path: Path) -> SampleSet:
    return SampleSet(tmp_path, KEY)


@pytest.fixture
def holder(samples: SampleSet) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has the first problem's lease."""
    command = [sys.executable, "-c", HOLDER, str(samples.directory), PLAN.prompt_hashes[0]]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"1\n"
        yield process
        process.kill()


def test_what_another_draws_comes_last_and_a_dead_ones_lease_expires(
    samples: SampleSet, holder: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Counting()
    job = SamplingJob(PLAN, samples, engine)
    with Leases(samples.directory) as leases:
        assert not leases.take(PLAN.prompt_hashes[0])
    waited = []
    monkeypatch.setattr(Drawing, "_wait", lambda _: waited.append(holder.kill()) or holder.wait())
    assert job.run(QUIET) == 32
    assert engine.asked == [p for p in (*PLAN.prompt_ids[1:], PLAN.prompt_ids[0]) for _ in range(8)]
    assert len(waited) >= 1


def test_what_another_has_drawn_meanwhile_is_taken_over(samples: SampleSet) -> None:
    """Another process draws the last two problems while this one draws the first."""
    others = make_plan(
        Task("toy:x", [], TASK.test[2:], TASK.verifier, "plain"), Letters(), PLAN.sampling, 8, chunk=8
    )

    def other() -> None:
        SamplingJob(others, SampleSet(samples.directory.parent, KEY), Counting()).run(QUIET)

    engine = Counting(other)
    job = SamplingJob(PLAN, samples, engine)
    assert job.run(QUIET) == 16
    assert {*engine.asked} == {*PLAN.prompt_ids[:2]}
    assert job.counted().counts.n.tolist() == [8] * 4


def test_a_store_that_takes_no_file_is_read_without_leases(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Leases(tmp_path / "file" / "set") as leases:
        assert leases.take("ab" * 8)


def test_a_record_counts_what_was_drawn_for_it_in_all_parts(samples: SampleSet, tmp_path: Path) -> None:
    class Stopping(Counting):
        def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
            if len(self.asked) >= 16:
                raise KeyboardInterrupt
            return super().generate(requests)

    def draws(step: int = 4) -> Draws:
        return Draws(tmp_path / "probes", step, "toy:x")

    with pytest.raises(KeyboardInterrupt):
        SamplingJob(PLAN, samples, Stopping(), draws()).run(QUIET)
    assert draws().total({samples.directory.name}) == 16
    SamplingJob(PLAN, samples, Counting(), draws()).run(QUIET)
    SamplingJob(PLAN, samples, Counting(), draws(6)).run(QUIET)
    assert draws().total({samples.directory.name}) == 32
    assert draws().total({"another"}) == draws(6).total({samples.directory.name}) == 0


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "kills"), [(2, 0), (2, 3), (8, 0), (8, 6)])
def test_processes_started_together_draw_everything_once(
    tmp_path: Path, base: Path, processes: int, kills: int
) -> None:
    """With kills: no more is drawn again than what was under way where one struck."""
    problems, root = 24, tmp_path / "store"
    logs = [tmp_path / f"log{i}" for i in range(processes)]

    def start(i: int) -> Forked:
        return Forked([killed_probe.__file__, str(root), str(logs[i]), str(problems)])

    running = [start(i) for i in range(processes)]
    chance = random.Random(processes + kills)
    for _ in range(kills):
        time.sleep(chance.uniform(0.2, 2.0))
        i = chance.randrange(processes)
        running[i].kill()
        running[i].wait()
        running[i] = start(i)
    for process in running:
        assert process.wait(600) == 0, process.written()
    asked = sum(int(line) for log in logs if log.exists() for line in log.read_text().split())
    total = problems * 16
    assert total <= asked <= total + kills * 2 * killed_probe.CHUNK
    assert SampleSet(root, killed_probe.KEY).read().num_rows == total
