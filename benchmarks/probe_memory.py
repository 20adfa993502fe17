"""How much memory a probe takes beside the model, by its stages; with --before held against another revision.

    python benchmarks/probe_memory.py [--before REV] [--problems 821] [--samples 256] [--tokens 600]

A stand-in engine draws samples of so many tokens. Each stage is a process of its own: its largest resident
size above that which it began with, and its CPU seconds.

    draw      nothing is stored yet: samples are drawn, stored and graded
    again     everything is stored
    regrade   everything is stored, and a new version of the grader judges it
    count     the counts are made from the store
    write     the files of the measurement are written, from a measurement that is there
    answers   the samples file is read for majority votes and variety
    texts     the samples of one problem in a hundred are read
    export    the samples file is made whole
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from probe_stream import ROOT, answered, checked_out

STAGES = ("draw", "again", "regrade", "count", "write", "answers", "texts", "export")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--before", help="a git revision")
    parser.add_argument("--problems", type=int, default=821)
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=600)
    parser.add_argument("--stages", nargs="+", default=STAGES, choices=STAGES)
    chosen = parser.parse_args()
    if chosen.before is None:
        measured(ROOT, "this tree", chosen)
        return 0
    with checked_out(chosen.before) as tree:
        measured(tree, chosen.before, chosen)
        measured(ROOT, "this tree", chosen)
    return 0


def measured(tree: Path, name: str, chosen: argparse.Namespace) -> None:
    """Prints a line a stage, by the packages of a tree."""
    with TemporaryDirectory() as directory:
        for stage in chosen.stages:
            found = one_stage(tree, {**vars(chosen), "stage": stage, "directory": directory})
            if found is not None:
                print(f"{name}, {stage}: {found['mib']:,.0f} MiB, {found['cpu']:.0f} s of CPU", flush=True)
            if stage in ("write", "export"):
                size = sum(f.stat().st_size for f in (Path(directory) / "run").rglob("*") if f.is_file())
                print(f"{name}: the measurement's files have {size / 2**20:,.1f} MiB", flush=True)


def one_stage(tree: Path, settings: dict[str, object]) -> dict[str, float] | None:
    """None where the tree has no such stage."""
    store = f"{settings['directory']}/store"
    return answered(tree, "probe_memory_side.py", settings, RLVR_STORE=store)


if __name__ == "__main__":
    sys.exit(main())
