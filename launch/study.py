"""The study: python -m launch.study [--seeds 1 2 3] [--size tiny|qwen7b] [--ablations] [key=value ...]

Trains every algorithm with every seed on equal prompts and equal update steps, at size tiny also GRPO with a
reward for sound steps, computes the first seed's perplexities, and writes the report of `python -m evals
compare` to RUNS/report. Stop it whenever you like: the same command resumes, and no finished run is repeated.
What a run prints goes to RUNS/NAME.log. Keys go to every run. Exit status: 0 the report is written, 1 a run
failed (it is named), 2 wrong arguments, 130 stopped; a second Ctrl-C does not wait for the runs to save.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

import rlvr
from rlvr.config.errors import ArgumentsError, Mistake
from rlvr.core.errors import INTERRUPTED, exit_status
from rlvr.core.process.interrupts import Interrupted, StopSignal
from rlvr.core.process.launcher import this_launcher
from rlvr.core.progress import plain_console
from rlvr.core.run_dir import RunDir, read_jsonl
from rlvr.planning.recipe import load_config

ALGORITHMS = ("grpo", "ppo", "rloo", "reinforce_pp", "remax", "dapo")
# Only where the task that is trained on has a checker of reasoning.
SOUND = ("grpo_sound",)
ABLATIONS = ("grpo_length", "grpo_rollouts8", "grpo_rollouts32", "grpo_kl")
TRAINER = Path(rlvr.__file__).with_name("train.py")
POLL_SECONDS = 1.0


@dataclass
class Run:
    """One of the study's runs, in its own process while it lasts."""

    recipe: str
    seed: int
    steps: int
    task: str
    directory: RunDir
    process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return self.directory.path.name

    @property
    def log(self) -> Path:
        return self.directory.path.with_suffix(".log")

    @property
    def step(self) -> int:
        """Steps that are trained."""
        return max((int(row["step"]) for row in read_jsonl(self.directory.metrics, "step")), default=0)

    @property
    def state(self) -> str:
        """finished, running, failed, or "" before its time."""
        if self.process is not None and self.process.poll() is None:
            return "running"
        if self.process is not None and self.process.returncode:
            return "failed"
        return "finished" if self.directory.finished.exists() and self.step >= self.steps else ""

    def start(self, launcher: Sequence[str], keys: Sequence[str], threads: int) -> None:
        """In a session of its own, so that Ctrl-C reaches it once, through `stopping`."""
        own = [f"recipe={self.recipe}", f"seed={self.seed}", f"run_dir={self.directory.path}"]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*launcher, str(TRAINER), *own, *keys],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={"OMP_NUM_THREADS": str(threads), **os.environ, **this_launcher()},
                start_new_session=True,
            )


def main(arguments: Sequence[str]) -> int:
    """Exit status."""
    return exit_status(lambda: study(arguments))


def study(arguments: Sequence[str]) -> int:
    """Plans, trains and reports. Raises ConfigError."""
    keys = [argument for argument in arguments if re.match(r"[A-Za-z_][\w.]*=", argument)]
    chosen = parser().parse_args([argument for argument in arguments if argument not in keys])
    folder = chosen.runs or Path("runs") / ("study-ablations" if chosen.ablations else "study")
    names = ABLATIONS if chosen.ablations else (*ALGORITHMS, *(SOUND if chosen.size == "tiny" else ()))
    jobs = chosen.jobs or ((os.cpu_count() or 1) if chosen.size == "tiny" else 1)
    check_own(keys)
    runs = [plan(f"{name}_{chosen.size}", seed, folder, keys) for seed in chosen.seeds for name in names]
    console = plain_console(stderr=True)
    try:
        with StopSignal().listening() as stop:
            train(runs, jobs, shlex.split(chosen.launcher), keys, console, stop)
            if failed := [run for run in runs if run.state == "failed"]:
                console.print("\n".join(f"{run.name} failed: see {run.log}" for run in failed), style="red")
                return 1
            return report(runs, folder / "report")
    except (Interrupted, KeyboardInterrupt):
        console.print("stopped; the same command resumes from what is saved")
        return INTERRUPTED


def parser() -> argparse.ArgumentParser:
    """What the command takes, beside keys of recipes."""
    made = argparse.ArgumentParser(
        prog="python -m launch.study",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], metavar="SEED")
    made.add_argument("--size", choices=["tiny", "qwen7b"], default="tiny", help="which of the twin recipes")
    made.add_argument("--ablations", action="store_true", help="training length, rollouts per prompt and KL")
    made.add_argument("--runs", type=Path, help="default: runs/study or runs/study-ablations")
    made.add_argument(
        "--jobs", type=positive, help="runs side by side; default: one per core for tiny, else one"
    )
    made.add_argument(
        "--launcher",
        default=sys.executable,
        help="what starts the trainer, for example 'accelerate launch --config_file launch/node_zero3.yaml'",
    )
    return made


def positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("give 1 or more")
    return number


def check_own(keys: Sequence[str]) -> None:
    """Raises ArgumentsError for a key that the study gives each run itself."""
    instead = {"recipe": "--size and --ablations choose", "seed": "give --seeds", "run_dir": "give --runs"}
    given = (key.partition("=") for key in keys)
    mistakes = [Mistake(name, value, instead[name]) for name, _, value in given if name in instead]
    if mistakes:
        raise ArgumentsError("the study", mistakes)


def plan(name: str, seed: int, folder: Path, keys: Sequence[str]) -> Run:
    """Raises ConfigError, before anything is trained, where the keys do not suit a recipe."""
    directory = folder / f"{name}-s{seed}"
    config = load_config([f"recipe=study/{name}", f"seed={seed}", f"run_dir={directory}", *keys])
    return Run(f"study/{name}", seed, config.steps, config.task.name, RunDir(directory))


def train(
    runs: Sequence[Run],
    jobs: int,
    launcher: Sequence[str],
    keys: Sequence[str],
    console: Console,
    stop: StopSignal,
) -> None:
    """Every run to its end, `jobs` at a time. The first goes ahead alone until it trains: then the base is
    measured, and the others find it in the store. A run that fails does not stop the others.
    """
    waiting = [run for run in runs if run.state != "finished"]
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with Display(runs, console) as display, stopping(runs, stop):
        while waiting or any(run.state == "running" for run in runs):
            measured = any(run.step for run in runs)
            free = (jobs if measured else 1) - sum(run.state == "running" for run in runs)
            for run in waiting[: max(0, free)]:
                waiting.remove(run)
                run.start(launcher, keys, threads)
            display.update()
            time.sleep(POLL_SECONDS)
        display.update()


def report(runs: Sequence[Run], out: Path) -> int:
    """The first seed's perplexities on the task trained on, where those of the last step are not there yet,
    and the page. Exit status."""
    for run in runs:
        found = run.directory.path / "perplexity"
        steps = [row.get("step") for row in read_jsonl(found / "perplexity.jsonl", "task")]
        if run.seed == runs[0].seed and run.step not in steps:
            asked = [f"run={run.directory.path}", f"task={run.task}", f"out={found}"]
            if status := _evals("perplexity", *asked):
                return status
    return _evals("compare", *(str(run.directory.path) for run in runs), f"out={out}")


def _evals(*arguments: str) -> int:
    command = [sys.executable, "-m", "evals", *arguments]
    return subprocess.run(command, check=False, env=os.environ | this_launcher()).returncode


@contextmanager
def stopping(runs: Sequence[Run], stop: StopSignal) -> Iterator[None]:
    """However the block ends, no run is left behind: each finishes its step and saves; a further SIGINT
    ends them at once."""
    try:
        yield
    finally:
        running = [run.process for run in runs if run.process is not None and run.process.poll() is None]
        with stop.finishing():
            try:
                for process in running:
                    process.send_signal(signal.SIGTERM)
                for process in running:
                    process.wait()
            except KeyboardInterrupt:
                for process in running:
                    end_at_once(process)
                raise


def end_at_once(process: subprocess.Popen[bytes]) -> None:
    """With all that its launcher started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Display:
    """A table of all runs on a terminal; elsewhere a line whenever a run begins or ends."""

    def __init__(self, runs: Sequence[Run], console: Console):
        self._runs, self._console = runs, console
        self._began, self._before = time.monotonic(), sum(run.step for run in runs)
        self._states = [""] * len(runs)
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> Display:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self) -> None:
        """Shows what changed since the last call."""
        states = [run.state for run in self._runs]
        if self._live is not None:
            self._live.update(self._table(states), refresh=True)
            return
        for run, state, before in zip(self._runs, states, self._states, strict=True):
            if state != before:
                self._console.print(f"{run.name} {state}, step {run.step}; {self._rest(states)}")
        self._states = states

    def _rest(self, states: Sequence[str]) -> str:
        """How many are finished, and how long the rest takes at the pace since the start."""
        finished = f"{states.count('finished')} of {len(states)} runs finished"
        steps = sum(run.step for run in self._runs)
        if steps == self._before:
            return finished
        left = sum(run.steps for run in self._runs) - steps
        minutes = (time.monotonic() - self._began) / (steps - self._before) * left / 60
        return f"{finished}, about {minutes:.0f} min left"

    def _table(self, states: Sequence[str]) -> Table:
        table = Table(title=self._rest(states), title_justify="left", box=box.SIMPLE_HEAD)
        for head in ("run", "step", ""):
            table.add_column(head, no_wrap=True, justify="right" if head == "step" else "left")
        for run, state in zip(self._runs, states, strict=True):
            table.add_row(run.name, f"{run.step} / {run.steps}", state)
        return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
