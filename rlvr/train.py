"""Trains and probes: accelerate launch rlvr/train.py recipe=NAME|FILE.yaml [key=value ...] [--dry-run[=8x80]]

--dry-run prints what the recipe resolves to and costs, and with GPUs as COUNTxGIB how long it takes and
whether it fits on them (exit status 3 where it does not).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

# A script's own directory comes first on sys.path, where a module of this package would replace one
# of the same name elsewhere (rlvr/queue.py, for example). What holds the package takes its place: a
# checkout trains with its own code, whatever is installed.
_HERE = os.path.dirname(os.path.abspath(__file__))
if _HERE in map(os.path.abspath, sys.path):
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != _HERE]
    if os.path.dirname(_HERE) not in sys.path:
        sys.path.insert(0, os.path.dirname(_HERE))

from rlvr.config.schema import Config  # noqa: E402
from rlvr.core.errors import DOES_NOT_FIT, INTERRUPTED, exit_status  # noqa: E402
from rlvr.core.process.launcher import end_with_launcher, leave  # noqa: E402
from rlvr.core.process.threads import wait_briefly  # noqa: E402
from rlvr.planning.advice import Gpus  # noqa: E402
from rlvr.planning.checks import check_places, check_support  # noqa: E402
from rlvr.planning.help import help_text  # noqa: E402
from rlvr.planning.recipe import load_config  # noqa: E402


def main(arguments: Sequence[str]) -> int:
    """Exit status: 0 finished, 1 failed, 2 wrong configuration, 3 --dry-run says that it does not fit, 130
    stopped by a signal after saving."""
    return exit_status(lambda: train(arguments))


def train(arguments: Sequence[str]) -> int:
    """Reads the configuration and passes it to `rlvr.runs.assemble`, which does the heavy imports."""
    if {"-h", "--help"} & set(arguments):
        print(f"{__doc__}\n{help_text()}")
        return 0
    dry = [a for a in arguments if a.partition("=")[0] == "--dry-run"]
    gpus = Gpus.parse(dry[0].partition("=")[2]) if dry and dry[0] != "--dry-run" else None
    processes = gpus.count if gpus else int(os.environ.get("WORLD_SIZE", "1"))
    config = load_config([a for a in arguments if a not in dry], processes)
    if not dry:
        check_support(config)
        check_places(config)
        return _run(config)
    from rlvr.planning.dry_run import describe, fits

    print(describe(config, processes, gpus))
    return 0 if gpus is None or fits(config, gpus) else DOES_NOT_FIT


def _run(config: Config) -> int:
    from rlvr.core.process.interrupts import Interrupted
    from rlvr.runs.assemble import run

    try:
        return 0 if run(config) else INTERRUPTED
    except Interrupted:
        return INTERRUPTED


if __name__ == "__main__":
    wait_briefly()
    end_with_launcher()
    leave(main(sys.argv[1:]))
