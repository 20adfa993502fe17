"""python -m tests.faults [--kills 40] [--seed 0] [--only kills disk processes damage] [--kinds run ...]

Stops, starves and damages tiny programs, lets them go on, and holds the result against programs that nothing
stopped. Prints tries, faults and failures; a failure names the seed that repeats it: --seed SEED --kills 1.
Exit status 1 where something failed.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the tests' own modules

from faults import disk_full, kills, lost_processes
from faults.outcome import Outcome
from faults.programs import KINDS


def main(arguments: Sequence[str]) -> int:
    """Exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--disks", type=int, default=10, help="programs on a disk that fills up")
    parser.add_argument("--damages", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=["kills", "disk", "processes", "damage"], default=None)
    parser.add_argument("--kinds", nargs="+", choices=[*KINDS], default=())
    parser.add_argument("--directory", type=Path, help="where failed tries stay; by default a temporary one")
    chosen = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background has it ignored
    directory = chosen.directory or Path(tempfile.mkdtemp(prefix="faults-"))
    campaigns: dict[str, Callable[[], object]] = {
        "kills": lambda: kills.campaign(chosen.kills, chosen.seed, directory / "kills", chosen.kinds),
        "disk": lambda: disk_full.campaign(chosen.disks, chosen.seed, directory / "disk"),
        "processes": lambda: lost_processes.campaign(directory / "processes"),
        "damage": lambda: damaged(chosen.damages, chosen.seed, directory / "damage"),
    }
    found = []
    for name in chosen.only or campaigns:
        began = time.monotonic()
        found.append(campaigns[name]())
        print(f"{found[-1]}\n  in {(time.monotonic() - began) / 60:.1f} min", flush=True)
    print(f"tries that failed lie in {directory}")
    return int(any(getattr(one, "failures", None) for one in found))


def damaged(tries: int, seed: int, directory: Path) -> object:
    """Random single damages, where that campaign is there."""
    try:
        from faults import damage
    except ImportError:
        return Outcome("damage", notes=["not here"])
    directory.mkdir(parents=True, exist_ok=True)
    return damage.campaign(tries, seed, directory)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
