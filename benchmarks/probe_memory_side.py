"""One stage of `probe_memory.py`, with whichever packages come first on the path."""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from evals.records.files import samples_file
from evals.records.reading import read_stored, read_texts
from evals.records.store import SampleKey, SampleSet
from evals.sampling.measure import SamplingJob
from evals.sampling.plan import make_plan
from rlvr.core.progress import Display
from rlvr.core.shards import store_root
from rlvr.engines import Completion, Request, Sampling
from rlvr.graders import Status, StringVerifier
from rlvr.tasks import Problem, Task

KEY = SampleKey("w", "t", "plain", 0.6, 0.95, 4096, "stand-in", "float32", 0)
SLOTS, LETTERS = 1024, 4
ALL = "".join(random.Random(0).choices("abcdefghij +-*/=().,\n", k=1 << 20))


class StandIn:
    """An engine and its stream: completions of random tokens, in random order of those under way."""

    name, dtype, slots = "stand-in", "float32", SLOTS

    def __init__(self, tokens: int):
        self.tokens = tokens
        self.under_way: list[tuple[int, Request]] = []
        self.count = 0
        self.chance = random.Random(0)

    def stream(self) -> StandIn:
        return self

    def add(self, request: Request) -> int:
        self.under_way.append((self.count, request))
        self.count += 1
        return self.count - 1

    def __iter__(self) -> StandIn:
        return self

    def __next__(self) -> tuple[int, Completion]:
        if not self.under_way:
            raise StopIteration
        place = self.chance.randrange(min(SLOTS, len(self.under_way)))
        number, request = self.under_way.pop(place)
        rng = np.random.default_rng(request.seed)
        ids = tuple(rng.integers(0, 150_000, self.tokens).tolist())
        begin = int(rng.integers(len(ALL) - LETTERS * self.tokens))
        text = ALL[begin : begin + LETTERS * self.tokens]
        return number, Completion(ids, (-0.5,) * self.tokens, text, "stop")

    def close(self) -> None: ...


class Words:
    def encode(self, text: str, **_: Any) -> list[int]:
        return [ord(letter) for letter in text]


def status(name: str) -> int:
    """A line of this process's status, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def main() -> None:
    settings = json.loads(sys.argv[1])
    stage, out = settings["stage"], Path(settings["directory"]) / "run"
    version = "toy-2" if stage == "regrade" else "toy-1"
    verifier = StringVerifier(
        lambda text, _: (Status.CORRECT if ord(text[0]) % 3 else Status.WRONG, text[:6]), version
    )
    problems = [Problem(str(i), f"problem {i}", i) for i in range(settings["problems"])]
    task = Task("toy", [], problems, verifier, "plain")
    plan = make_plan(task, Words(), Sampling(0.6, 0.95, 4096), settings["samples"])
    samples = SampleSet(store_root(), KEY)
    job = SamplingJob(plan, samples, StandIn(settings["tokens"]))
    measurement = job.counted() if stage == "write" else None
    file = samples_file(out, task.name)
    quiet = Display("", 1, 0, Console(quiet=True))

    def work() -> None:
        if stage in ("draw", "again", "regrade"):
            job.missing()
            job.run(quiet)
        elif stage == "count":
            job.counted()
        elif measurement is not None:
            measurement.write(out, samples)
        elif stage == "answers":
            read_stored(file)
        elif stage == "texts":
            read_texts(file, [problem.id for problem in problems[::100]])
        else:
            from evals.records.samples import make_whole

            make_whole(file)

    Path("/proc/self/clear_refs").write_text("5")  # the largest resident size is counted from here
    before, begun = status("VmRSS"), time.process_time()
    try:
        work()
    except ImportError:
        print("null")
        return
    print(json.dumps({"mib": (status("VmHWM") - before) / 1024, "cpu": time.process_time() - begun}))


main()
