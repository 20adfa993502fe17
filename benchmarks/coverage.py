"""Why does training cost coverage on the tiny base? One factor changed at a time, one table.

    python benchmarks/coverage.py [--arms NAME ...] [--seeds 0 1] [--steps 100] [--runs DIR] [--table]

Every arm is `recipe=study/grpo_tiny` with the keys below, or another base, and is probed at its end alone, on
50 test problems and on 50 that it trained on, with 256 samples each; its base is measured once. Finished runs
are not repeated, interrupted ones go on. The tables are made from the run directories, one for each set of
problems: of each arm the mean over its seeds, and what it differs from `no KL` in, paired by seed and
problem.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evals.records.files import counts_file, read_counts
from evals.records.gap_record import GapRecord, read_records
from evals.records.probe_dir import ProbeDir
from rlvr.models.tiny_base import COUNTDOWN, Pretraining, built

ROOT = Path(__file__).resolve().parent.parent
SETS = {"test problems": "countdown:3", "problems trained on": "countdown:3/train"}
REFERENCE = "no KL"
K = 256


@dataclass(frozen=True)
class Arm:
    """What is changed: keys of the run, or the base's pretraining."""

    keys: tuple[str, ...] = ()
    base: Pretraining = COUNTDOWN


def _kl(coefficient: float, estimator: str) -> Arm:
    keys = (f"algorithm.kl.coefficient={coefficient}", f"algorithm.kl.estimator={estimator}")
    return Arm(keys)


def _keys(*keys: str) -> Arm:
    return Arm(keys)


ARMS: dict[str, Arm] = {
    REFERENCE: Arm(),
    "KL k3 0.1": _kl(0.1, "k3"),
    "KL k3 0.2": _kl(0.2, "k3"),
    "KL k3 0.5": _kl(0.5, "k3"),
    "KL k3 2": _kl(2.0, "k3"),
    "KL k2 0.5": _kl(0.5, "k2"),
    "rate 2.5e-5": _keys("optim.lr=2.5e-5"),
    "rate 4e-4": _keys("optim.lr=4e-4"),
    "temperature 0.6": _keys("rollouts.temperature=0.6"),
    "temperature 1.5": _keys("rollouts.temperature=1.5"),
    "16 prompts": _keys("rollouts.prompts=16"),
    "32 rollouts": _keys("rollouts.group_size=32", "rollouts.prompts=16"),
    "300 problems": _keys("task.train_problems=300"),
    "sound reward": _keys("rewards.unsound=0"),
    "pass@4 reward": _keys("algorithm=passk", "algorithm.k=4"),
    "advantage not scaled": _keys("algorithm.scale_by_std=false"),
    "clip 0.05, 4 updates": _keys(
        "algorithm.clip.low=0.05", "algorithm.clip.high=0.05", "optim.mini_batches=4"
    ),
    "failed 0.1": Arm(base=replace(COUNTDOWN, failed_share=0.1)),
    "failed 0.9": Arm(base=replace(COUNTDOWN, failed_share=0.9)),
    "pretrained 4 times": Arm(base=replace(COUNTDOWN, steps=2000)),
    "1M parameters": Arm(base=replace(COUNTDOWN, hidden=160, heads=5, intermediate=427)),
    "3M parameters": Arm(base=replace(COUNTDOWN, hidden=224, layers=5, heads=7, intermediate=597)),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS), metavar="NAME")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--steps", type=int, default=100, help="training steps, the same for all")
    parser.add_argument("--runs", type=Path, default=Path("runs/coverage"))
    parser.add_argument("--table", action="store_true", help="of what is there; train nothing")
    chosen = parser.parse_args()
    for seed in () if chosen.table else chosen.seeds:
        for name in chosen.arms:
            run(name, seed, chosen.steps, chosen.runs)
    for heading, task in SETS.items():
        print(f"\n{heading}:\n", *table(chosen.runs, task), sep="\n")
    return 0


def directory(runs: Path, name: str, seed: int) -> Path:
    return runs / f"{name.replace(' ', '_')}-s{seed}"


def run(name: str, seed: int, steps: int, runs: Path) -> None:
    """Trains to the end; probes only the base and the last checkpoint."""
    arm = ARMS[name]
    model = "embedded:countdown" if arm.base == COUNTDOWN else str(built("countdown", arm.base))
    command = [
        sys.executable, str(ROOT / "rlvr" / "train.py"), "recipe=study/grpo_tiny", f"seed={seed}", *arm.keys,
        f"model={model}", f"run_dir={directory(runs, name, seed)}", f"steps={steps}", f"save_every={steps}",
        f"probe.n={K}", "probe.max_problems=50",
        "probe.tasks=[countdown:3,{name: countdown:3, split: train}]",
    ]  # fmt: skip
    subprocess.run(command, check=True)


def table(runs: Path, task: str) -> Iterator[str]:
    """Markdown, one row an arm that has a finished run."""
    heads = (
        "arm, seeds, base @1, @256, pass@1, @256, coverage lost, sound @1, wrong step, duplicates, "
        "differs in @1, in @256"
    )
    yield f"| {heads.replace(', ', ' | ')} |"
    yield "|---" * (heads.count(",") + 1) + "|"
    reference = {seed: counts for seed, _, counts in finished(runs, REFERENCE, task)}
    for name in ARMS:
        if done := list(finished(runs, name, task)):
            yield f"| {' | '.join(row(name, done, reference))} |"


Finished = tuple[int, GapRecord, Path]


def finished(runs: Path, name: str, task: str) -> Iterator[Finished]:
    """(seed, last record, file of its counts) of each finished run of the arm."""
    for path in sorted(runs.glob(f"{directory(runs, name, 0).name.removesuffix('0')}[0-9]*")):
        records = [r for r in read_records(ProbeDir(path).probe) if r.task == task and r.step]
        if records:
            where = counts_file(ProbeDir(path).of_step(records[-1].step), task)
            yield int(path.name.rpartition("-s")[2]), records[-1], where


def row(name: str, done: Sequence[Finished], reference: dict[int, Path]) -> list[str]:
    records = [record for _, record, _ in done]

    def mean(values: Sequence[float | None]) -> str:
        found = [value for value in values if value is not None]
        return f"{100 * float(np.mean(found)):.1f}" if found else "-"

    pairs = [(reference[seed], counts) for seed, _, counts in done if seed in reference and name != REFERENCE]
    return [
        name,
        ", ".join(str(seed) for seed, _, _ in done),
        mean([r.at(1, base=True) for r in records]),
        mean([r.at(K, base=True) for r in records]),
        mean([r.at(1) for r in records]),
        mean([r.at(K) for r in records]),
        mean([r.coverage_lost for r in records]),
        mean([r.sound_at(1) for r in records]),
        mean([r.sound.unsound for r in records if r.sound]),
        mean([r.duplicate_rate for r in records]),
        *(difference(pairs, k) for k in (1, K)),
    ]


def difference(pairs: Sequence[tuple[Path, Path]], k: int) -> str:
    """Mean over seeds and problems of arm minus reference, with the standard error over problems."""
    if not pairs:
        return ""
    each = []
    for one, other in pairs:
        a, b = read_counts(one), read_counts(other)
        if a.problems != b.problems:  # an arm that trains on other ones
            return ""
        at = dict(zip(a.problems, a.counts.pass_at_k(k), strict=True))
        each.append([value - at[p] for p, value in zip(b.problems, b.counts.pass_at_k(k), strict=True)])
    problems = 100 * np.mean(each, axis=0)
    return f"{problems.mean():+.1f} ± {problems.std(ddof=1) / len(problems) ** 0.5:.1f}"


if __name__ == "__main__":
    sys.exit(main())
