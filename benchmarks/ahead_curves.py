"""What rollouts of older weights do to learning: the tiny recipe with rollouts.ahead 0, 1 and 2.

    python benchmarks/ahead_curves.py [key=value ...] [--seeds 0 1 2] [--ahead 0 1 2] [--runs runs/ahead]

Trains each pair of seed and `ahead` (a run that is finished, or was broken off, is taken up where it is), all
with the same correction, and prints for each tenth of the steps the mean reward of its rollouts, then the
last probe; and of both the difference to ahead=0, paired over seeds, with a 95 % interval (Student's t).
key=value: of the recipe grpo_tiny.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

from scipy.stats import t as student

from rlvr.core.run_dir import read_jsonl

ROOT = Path(__file__).resolve().parent.parent
PARTS = 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ahead", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/ahead"))
    chosen, settings = parser.parse_known_args()
    found: dict[int, list[list[tuple[str, float]]]] = {ahead: [] for ahead in chosen.ahead}
    for seed in chosen.seeds:
        for ahead in chosen.ahead:
            run = chosen.runs / f"ahead{ahead}-s{seed}"
            given = [f"seed={seed}", f"rollouts.ahead={ahead}", "rollouts.correction.by=truncate"]
            command = [sys.executable, str(ROOT / "rlvr/train.py"), "recipe=grpo_tiny", *given]
            subprocess.run([*command, *settings, f"run_dir={run}"], check=True)
            found[ahead].append(measured(run))
    first = chosen.ahead[0]
    names = [name for name, _ in found[first][0]]
    print(f"{'':28}" + "".join(f"{f'ahead={ahead}':>30}" for ahead in chosen.ahead))
    for i, name in enumerate(names):
        row = f"{name:28}"
        for ahead in chosen.ahead:
            values = [run[i][1] for run in found[ahead]]
            against = [run[i][1] for run in found[first]]
            row += f"{shown(values, against if ahead != first else None):>30}"
        print(row)
    return 0


def measured(run: Path) -> list[tuple[str, float]]:
    """Mean rewards of parts of the run, then its last probe, in points of 100."""
    rows = read_jsonl(run / "metrics.jsonl")
    size = max(1, len(rows) // PARTS)
    parts = [rows[i : i + size] for i in range(0, size * (len(rows) // size), size)]
    told = [
        (f"reward, steps {part[0]['step']} to {part[-1]['step']}",
         100 * mean(row["rollout/reward"] for row in part))
        for part in parts
    ]  # fmt: skip
    probes = read_jsonl(run / "probe.jsonl")
    last = [row for row in probes if row["step"] == max(p["step"] for p in probes)]
    told += [(f"pass@1, {row['task']}", 100 * row["pass_at_k"][0]) for row in last]
    return told + [(f"gap, {row['task']}", 100 * row["gap"]) for row in last]


def shown(values: Sequence[float], against: Sequence[float] | None) -> str:
    """The mean, and the mean difference with its interval."""
    if against is None:
        return f"{mean(values):.1f}"
    apart = [a - b for a, b in zip(values, against, strict=True)]
    if len(apart) < 2:
        return f"{mean(values):.1f} ({mean(apart):+.1f})"
    half = float(student.ppf(0.975, len(apart) - 1)) * stdev(apart) / len(apart) ** 0.5
    return f"{mean(values):.1f} ({mean(apart):+.1f} [{mean(apart) - half:+.1f}, {mean(apart) + half:+.1f}])"


if __name__ == "__main__":
    sys.exit(main())
