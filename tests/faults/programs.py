"""The programs that a campaign stops: tiny ones of every kind that writes to a run directory or the store."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from forked import Forked

ROOT = Path(__file__).resolve().parents[2]
TRAINER = str(ROOT / "rlvr" / "train.py")
TINY = (
    "rollouts.prompts=2", "rollouts.group_size=4", "rollouts.max_new_tokens=16",
    "optim.micro_batch_tokens=2000",
    "probe.tasks=[countdown:3]", "probe.max_problems=4", "probe.n=8", "probe.base_n=16", "probe.final_n=16",
    "probe.k=16", "probe.chunk=16",
)  # fmt: skip
RUN = ("recipe=grpo_tiny", "run_dir=run", "steps=4", "save_every=2", "optim.mini_batches=2", *TINY)
# Of a program that nothing stops, on a machine that is busy.
PATIENCE = 900.0


@dataclass(frozen=True)
class Kind:
    """A kind of program. command: run in a directory of its own, again and again until it ends well.

    prepared: the kind whose finished directory it begins with. rare: how many tries of others stand between
    two of it.
    """

    name: str
    command: tuple[str, ...]
    prepared: str | None = None
    rare: int = 1


KINDS = {
    kind.name: kind
    for kind in (
        Kind("run", (TRAINER, *RUN)),
        Kind("probe", (
            "-m", "evals", "probe", "model=run/checkpoints/step_000004/policy", "base=embedded:countdown",
            "task=countdown:4", "n=16", "k=16", "max_problems=6", "max_new_tokens=16", "chunk=16", "out=out",
        ), prepared="run"),
        Kind("left", (TRAINER, *RUN, "probe.mode=detached"), rare=4),
        Kind("detached", ("-m", "evals", "probe", "run=run"), prepared="left"),
        Kind("study", (
            "-m", "launch.study", "--seeds", "1", "--ablations", "--runs", "study", "--jobs", "2",
            "steps=2", "save_every=1", *TINY,
        ), rare=12),
        Kind("compact", ("-m", "evals", "store", "compact=true"), prepared="run", rare=5),
        Kind(
            "prune", ("-m", "evals", "store", "prune=true", "unused_days=0", "referred=true"),
            prepared="run", rare=4,
        ),
        Kind("export", ("-m", "evals", "export", "samples", "run"), prepared="run", rare=6),
    )
}  # fmt: skip


def start(kind: Kind, directory: Path) -> Forked:
    """The program in the directory, with a store of its own."""
    environment = {**os.environ, "RLVR_STORE": "store", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    return Forked(kind.command, directory, environment)


def prepare(kind: Kind, directory: Path, finished: Callable[[Kind], Path]) -> None:
    """Makes the directory that the program begins with. finished: where a kind has run to its end."""
    if kind.prepared is None:
        directory.mkdir(parents=True)
    else:
        shutil.copytree(finished(KINDS[kind.prepared]), directory)
