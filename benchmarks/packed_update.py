"""The update held against another revision's: the same rollouts and weights, a step of each in turn.

    python benchmarks/packed_update.py --before REV [--workloads "1M, fixed" ...] [--pairs 7]

Rows have the lengths of `workload.py`; runaways are log-normal with one completion in a hundred at the limit.
Each workload runs with gradient checkpointing and without, as GRPO with a KL against a reference, so that
scoring and update both count. The metrics of each step must be equal. Ratios are CPU seconds of REV over this
tree's: the median over pairs [smallest, largest].
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from probe_stream import BEGIN, ROOT, checked_out

NAMES = [f"{shape}, {lengths}" for shape in ("1M", "30M") for lengths in ("fixed", "log-normal", "runaways")]
# Relative distance of loss and gradient norm that fp32 sums in another order explain.
TOLERANCE = 1e-3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--before", required=True, help="a git revision")
    parser.add_argument("--workloads", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--checkpointing", nargs="+", choices=["on", "off"], default=["on", "off"])
    parser.add_argument("--prompt", type=int, default=64, help="its median length")
    chosen = parser.parse_args()
    with checked_out(chosen.before) as tree:
        for name in chosen.workloads:
            for checkpointing in chosen.checkpointing:
                settings = {"name": name, "checkpointing": checkpointing == "on", "prompt": chosen.prompt}
                print(
                    f"{name}, checkpointing {checkpointing}: {compared(tree, settings, chosen.pairs)}",
                    flush=True,
                )
    return 0


def compared(tree: Path, settings: dict[str, Any], pairs: int) -> str:
    """What a line says of a workload. Exits where the two do not compute the same."""
    rows = []
    with side(tree, settings) as before, side(ROOT, settings) as after:
        for step in range(pairs + 1):
            old, new = asked(before, step), asked(after, step)
            for metric, value in old["metrics"].items():
                if abs(value - new["metrics"][metric]) > TOLERANCE * max(abs(value), 1e-3):
                    raise SystemExit(f"not the same: {metric} {value} and {new['metrics'][metric]}")
            if step:  # the first warms up
                rows.append((old, new))
    said = []
    for part in ("all", "score", "update"):
        ratios = [old[part] / new[part] for old, new in rows]
        said.append(f"{part} {median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]")
    tokens = [sum(row[i]["tokens"] for row in rows) for i in (0, 1)]
    return f"{', '.join(said)}, tokens {tokens[0] / tokens[1]:.2f}"


@contextmanager
def side(tree: Path, settings: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    """A process that does a step by the packages of this tree for each line it is sent."""
    script = Path(__file__).with_name("packed_update_side.py")
    environment = {**os.environ, "PYTHONPATH": f"{tree}:{Path(__file__).parent}"}
    command = [sys.executable, "-P", "-c", BEGIN, str(script), json.dumps(settings)]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def asked(child: subprocess.Popen[str], step: int) -> dict[str, Any]:
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write(f"{step}\n")
    child.stdin.flush()
    for line in child.stdout:
        if line.startswith("{"):
            return json.loads(line)
    raise SystemExit("a side has ended")


if __name__ == "__main__":
    sys.exit(main())
