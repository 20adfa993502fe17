"""How much longer a training step takes beside another program, by how idle threads wait for work.

    python benchmarks/beside_others.py [--rounds 7] [--threads 2] [--others 1]

A process with each setting does the same steps, in turns, with and without programs beside it that keep
one core each busy. libgomp, the OpenMP runtime of torch's CPU builds, reads a setting when torch is loaded.

Printed are medians over rounds [smallest, largest] of ratios within a round. `fair` is the
ratio of threads, those of the other programs included, to cores: what equal shares would give.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rlvr.core.process.threads import SPINS

Case = tuple[str, bool]  # a setting's name, and whether others were beside it

SETTINGS = {
    "libgomp's own": {},
    "rlvr's": {"GOMP_SPINCOUNT": str(SPINS)},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--others", type=int, default=1, help="busy programs beside it")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.worker:
        take_steps()
        return 0
    cores = os.cpu_count() or 1
    print(f"{cores} cores, {chosen.threads} threads, load before {os.getloadavg()[0]:.1f}", flush=True)
    workers = {name: start(setting, chosen.threads) for name, setting in SETTINGS.items()}
    rows = []
    try:
        for number in range(chosen.rounds + 1):
            row = {(name, False): step(worker) for name, worker in workers.items()}
            with busy(chosen.others):
                row |= {(name, True): step(worker) for name, worker in workers.items()}
            if number:  # the first round warms up
                rows.append(row)
                print("  ".join(f"{seconds:.2f}" for seconds in row.values()), file=sys.stderr, flush=True)
    finally:
        for worker in workers.values():
            worker.kill()
    print(f"fair: {max(1.0, (chosen.threads + chosen.others) / cores):.2f}")
    for name in SETTINGS:
        print(f"{name}: beside others / alone {ratio(rows, (name, True), (name, False))}")
    for beside in (False, True):
        for name in list(SETTINGS)[1:]:
            where = "beside others" if beside else "alone"
            found = ratio(rows, ("libgomp's own", beside), (name, beside))
            print(f"{where}: libgomp's own / {name} {found}")
    return 0


def start(setting: dict[str, str], threads: int) -> subprocess.Popen[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    return subprocess.Popen(
        [sys.executable, __file__, "--worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**inherited, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1", **setting},
    )


def step(worker: subprocess.Popen[str]) -> float:
    """Seconds of the worker's next step."""
    assert worker.stdin and worker.stdout
    worker.stdin.write("\n")
    worker.stdin.flush()
    for line in worker.stdout:  # libraries print there too
        if line.startswith("seconds "):
            return float(line.split()[1])
    sys.exit("the process that takes the steps ended")


@contextmanager
def busy(count: int) -> Iterator[None]:
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        time.sleep(0.2)
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def ratio(rows: Sequence[dict[Case, float]], one: Case, other: Case) -> str:
    found = [row[one] / row[other] for row in rows]
    return f"{statistics.median(found):.2f} [{min(found):.2f}, {max(found):.2f}]"


def take_steps() -> None:
    """A step a line of stdin; its seconds go to stdout."""
    from our_step import OurStep
    from workload import Workload

    ours = OurStep(Workload("1M", 2, 8, 32, 16, 0.0, trl_rows=8, micro_batch_tokens=1024), lr=1e-5)
    ours.keep_gradient = False
    for number, _ in enumerate(sys.stdin):
        begun = time.perf_counter()
        ours(number)
        print(f"seconds {time.perf_counter() - begun}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
