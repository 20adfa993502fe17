"""What the kill tests run and kill: one measurement with the HF engine, in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from toys import Batched

from evals.records.measurement import Measurement
from evals.records.store import SampleKey, SampleSet
from evals.sampling.measure import SamplingJob
from evals.sampling.plan import Plan, make_plan
from rlvr.core.progress import Display
from rlvr.engines import Completion, Request, Sampling, generate
from rlvr.engines.hf import HFEngine
from rlvr.models.loading import eos_ids, load_model, load_tokenizer
from rlvr.models.tiny_base import embedded_base
from rlvr.tasks import build_task

KEY = SampleKey("w", "t", "plain", 0.6, 0.95, 32, "hf", "float32", 0)
CHUNK = 32


class Noting(Batched):
    """The engine; it notes in a file how many samples it was asked for."""

    name, dtype = "hf", "float32"
    slots = CHUNK // 2  # twice as many are under way

    def __init__(self, engine: HFEngine, log: Path):
        self.engine, self.log = engine, log

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        with open(self.log, "a") as file:
            file.write(f"{len(requests)}\n")
        yield from generate(self.engine, requests)


def plan(problems: int) -> Plan:
    task, tokenizer = build_task("countdown:3"), load_tokenizer(embedded_base("countdown"))
    return make_plan(task, tokenizer, Sampling(0.6, 0.95, 32), n=16, max_problems=problems, chunk=CHUNK)


def measure(root: str, log: str, problems: int) -> Measurement:
    base = embedded_base("countdown")
    tokenizer = load_tokenizer(base)
    engine = HFEngine(load_model(base, "float32"), tokenizer, eos_ids(base, tokenizer))
    measuring = SamplingJob(plan(problems), SampleSet(Path(root), KEY), Noting(engine, Path(log)))  # type: ignore[arg-type]
    measuring.run(Display("", 1, 0, Console(quiet=True)))
    return measuring.counted()


if __name__ == "__main__":
    measure(sys.argv[1], sys.argv[2], int(sys.argv[3]))
