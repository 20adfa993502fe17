"""A probe held against another revision's: the same samples of the same lengths, in turn.

    python benchmarks/probe_stream.py --before REV [--engine hf vllm] [--lengths log-normal] [--shape 1M]
        [--pairs 3] [--problems 24] [--samples 64] [--slots 256]

Each line is a workload: what the revision takes over what this tree takes, as the median of the pairs. CPU
seconds of drawing, grading and storing; forward passes of the model. Every sample has a length of its own,
which both sides are given: fixed, log-normal (sigma 0.8), or that with one in a hundred run to the limit.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LENGTHS = ("fixed", "log-normal", "runaways")
# Runs a script. An editable installation would give what the side's tree lacks.
BEGIN = """
import runpy, sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "__editable__" not in str(finder)]
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="side")
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--before", required=True, help="a git revision")
    parser.add_argument("--engine", nargs="+", default=["hf"], choices=["hf", "vllm"])
    parser.add_argument("--lengths", nargs="+", default=LENGTHS, choices=LENGTHS)
    parser.add_argument("--shape", default="1M")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--problems", type=int, default=24)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--slots", type=int, default=256, help="completions in flight at once")
    chosen = parser.parse_args()
    with checked_out(chosen.before) as tree:
        for engine in chosen.engine:
            for lengths in chosen.lengths:
                settings = {**vars(chosen), "engine": engine, "lengths": lengths}
                pairs = [(probed(tree, settings), probed(ROOT, settings)) for _ in range(chosen.pairs)]
                ratios = {k: median(old[k] / new[k] for old, new in pairs) for k in ("cpu", "passes")}
                print(
                    f"{engine}, {chosen.shape}, {lengths}: CPU seconds {ratios['cpu']:.2f}, "
                    f"forward passes {ratios['passes']:.2f}",
                    flush=True,
                )
    return 0


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    command = ["git", "-C", str(ROOT), "archive", revision, "rlvr", "evals"]
    archive = subprocess.run(command, check=True, capture_output=True).stdout
    with TemporaryDirectory() as directory, tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(directory, filter="data")
        yield Path(directory)


def probed(tree: Path, settings: dict[str, object]) -> dict[str, float]:
    """One probe in a process of its own, by the packages of this tree."""
    return answered(tree, "probe_stream_side.py", settings)


def answered(tree: Path, side: str, settings: dict[str, object], **variables: str) -> Any:
    """What a script of this folder prints in its last line, in a process of its own, by a tree's packages.
    variables: of its environment."""
    script = Path(__file__).with_name(side)
    environment = {**os.environ, "PYTHONPATH": f"{tree}:{Path(__file__).parent}", **variables}
    command = [sys.executable, "-P", "-c", BEGIN, str(script), json.dumps(settings)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    sys.exit(main())
