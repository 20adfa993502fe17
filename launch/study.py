"""The study: python -m launch.study [--seeds 1 2 3] [--size tiny|qwen7b] [--runs DIR] [--ablations]

Trains every algorithm with every seed, one run after the other, on equal prompts and equal update steps,
then writes the report of `python -m evals compare`. Stop it at any moment: finished runs are not repeated,
the one that was interrupted goes on where it was. --ablations: in its place training length, rollouts per
prompt, and KL. Keys of recipes (key=value) go to every run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from rlvr.mistakes import ConfigError
from rlvr.recipe import load_config
from rlvr.run_dir import RunDir, read_jsonl

ROOT = Path(__file__).resolve().parent.parent
ALGORITHMS = ("grpo", "ppo", "rloo", "reinforce_pp", "remax", "dapo")
ABLATIONS = ("grpo_length", "grpo_rollouts8", "grpo_rollouts32", "grpo_kl")


@dataclass(frozen=True)
class Run:
    """One of the study's runs."""

    recipe: str
    seed: int
    steps: int
    directory: RunDir

    @property
    def step(self) -> int:
        """Steps that are trained."""
        return max((int(row["step"]) for row in read_jsonl(self.directory.metrics)), default=0)

    @property
    def finished(self) -> bool:
        return self.directory.finished.exists() and self.step >= self.steps


def main(arguments: Sequence[str]) -> int:
    """Exit status: 0 with the report written; that of the first run that fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--size", choices=["tiny", "qwen7b"], default="tiny")
    parser.add_argument("--runs", type=Path, help="default: runs/study or runs/study-ablations")
    parser.add_argument("--ablations", action="store_true")
    chosen, keys = parser.parse_known_args(arguments)
    folder = chosen.runs or Path("runs") / ("study-ablations" if chosen.ablations else "study")
    names = ABLATIONS if chosen.ablations else ALGORITHMS
    try:
        runs = [
            plan(f"study/{name}_{chosen.size}", seed, folder, keys) for seed in chosen.seeds for name in names
        ]
    except ConfigError as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    console = Console(stderr=True)
    clock = Clock(runs)
    for run in runs:
        if not run.finished:
            console.print(overview(runs, run, clock.left()))
            if status := train(run, keys):
                return status
    report = [sys.executable, "-m", "evals", "compare", *(str(run.directory.path) for run in runs)]
    return subprocess.run([*report, f"out={folder / 'report'}"], check=False).returncode


def plan(recipe: str, seed: int, folder: Path, keys: Sequence[str]) -> Run:
    """Raises ConfigError, before anything is trained, where the keys do not suit a recipe."""
    directory = folder / f"{recipe.removeprefix('study/')}-s{seed}"
    config = load_config([f"recipe={recipe}", f"seed={seed}", f"run_dir={directory}", *keys])
    return Run(recipe, seed, config.steps, RunDir(directory))


def train(run: Run, keys: Sequence[str]) -> int:
    """Runs it to its end; the exit status."""
    command = [
        sys.executable, str(ROOT / "rlvr" / "train.py"), f"recipe={run.recipe}", f"seed={run.seed}",
        f"run_dir={run.directory.path}", *keys,
    ]  # fmt: skip
    return subprocess.run(command, check=False).returncode


class Clock:
    """How long the rest takes, if a step of any run takes as long as those trained since the start."""

    def __init__(self, runs: Sequence[Run]):
        self.runs = runs
        self.begun, self.before = time.monotonic(), sum(run.step for run in runs)

    def left(self) -> str:
        """Minutes, "" until something was trained."""
        trained = sum(run.step for run in self.runs)
        if trained == self.before:
            return ""
        per_step = (time.monotonic() - self.begun) / (trained - self.before)
        return f", about {per_step * (sum(r.steps for r in self.runs) - trained) / 60:.0f} min left"


def overview(runs: Sequence[Run], now: Run, left: str) -> Table:
    """All runs and how far they are."""
    done = sum(run.finished for run in runs)
    title = f"{done} of {len(runs)} runs are finished{left}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for head in ("run", "steps", ""):
        table.add_column(head, no_wrap=True)
    for run in runs:
        state = "finished" if run.finished else "now" if run is now else ""
        table.add_row(run.directory.path.name, f"{run.step} / {run.steps}", state)
    return table
