"""Does each algorithm learn? Runs every <algorithm>_tiny recipe with two seeds and prints one table.

    python benchmarks/each_learns.py [--seeds 1 2] [--algorithms grpo ppo ...] [--steps 80] [--runs DIR]

One shared set of hyper-parameters, equal update steps, a probe before and after. Runs that are finished
are not repeated, interrupted ones go on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from evals.records.gap_record import GapRecord
from rlvr.algorithms import ALGORITHMS
from rlvr.core.run_dir import RunDir, read_jsonl

ROOT = Path(__file__).resolve().parent.parent
TASK = "countdown:3"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--algorithms", nargs="+", choices=list(ALGORITHMS), default=list(ALGORITHMS))
    parser.add_argument("--steps", type=int, default=80, help="training steps, the same for all")
    parser.add_argument("--runs", type=Path, default=Path("runs/each_learns"))
    chosen = parser.parse_args()
    for seed in chosen.seeds:
        for algorithm in chosen.algorithms:
            run(algorithm, seed, chosen.steps, chosen.runs)
    print("\n".join(table(chosen.runs)))
    return 0


def run(algorithm: str, seed: int, steps: int, runs: Path) -> None:
    """Trains to the end; probes only the base and the last checkpoint."""
    command = [
        sys.executable, str(ROOT / "rlvr" / "train.py"), f"recipe={algorithm}_tiny", f"seed={seed}",
        f"run_dir={runs / f'{algorithm}-s{seed}'}", f"steps={steps}", f"save_every={steps}",
        f"probe.tasks=[{TASK}]",
    ]  # fmt: skip
    subprocess.run(command, check=True)


def table(runs: Path) -> Iterator[str]:
    """Markdown, one row a finished run, from the run directories alone."""
    heads = "algorithm, seed, pass@1, change [95 % interval], pass@256, gap, samples drawn, seconds of steps"
    yield f"| {heads.replace(', ', ' | ')} |"
    yield "|---" * 8 + "|"
    for path in sorted(runs.glob("*-s*")):
        run_dir = RunDir(path)
        probed = [GapRecord(**row) for row in read_jsonl(run_dir.probe) if row["task"] == TASK]
        metrics = read_jsonl(run_dir.metrics)
        if not probed or probed[-1].step == 0:
            continue
        last = probed[-1]
        algorithm, _, seed = path.name.rpartition("-s")
        seconds = sum(row["time/step"] for row in metrics)
        change, low, high = (
            points(x, "+") for x in (last.pass_at_1_change, last.change_low, last.change_high)
        )
        cells = [
            algorithm, seed, points(last.at(1)), f"{change} [{low}, {high}]", points(last.at(256)),
            points(last.gap), f"{metrics[-1]['total/samples']:,}", f"{seconds:.0f}",
        ]  # fmt: skip
        yield f"| {' | '.join(cells)} |"


def points(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{100 * value:{sign}.1f}"


if __name__ == "__main__":
    sys.exit(main())
