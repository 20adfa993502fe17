"""Trains and probes: accelerate launch rlvr/train.py recipe=NAME|FILE.yaml [key=value ...] [--dry-run[=8x80]]

--dry-run prints what the recipe resolves to and costs, and with GPUs as COUNTxGIB whether it fits on them.
"""

from __future__ import annotations

import os
import sys

# A script's own directory comes first on sys.path, where a module of this package would replace one
# of the same name elsewhere (rlvr/core/interrupts.py is safe, rlvr/queue.py would not be).
_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or os.curdir) != _HERE]

from rlvr.config.errors import ConfigError  # noqa: E402
from rlvr.config.schema import Config  # noqa: E402
from rlvr.core.run_dir import RunDirError  # noqa: E402
from rlvr.core.threads import wait_briefly  # noqa: E402
from rlvr.planning.advice import Gpus  # noqa: E402
from rlvr.planning.checks import check_support  # noqa: E402
from rlvr.planning.help import help_text  # noqa: E402
from rlvr.planning.recipe import load_config  # noqa: E402

INTERRUPTED = 130


def main(arguments: list[str]) -> int:
    """Reads the configuration and hands it to `rlvr.runs.assemble`, which alone imports what is heavy.

    Exit status: 0 finished, 1 failed, 2 wrong configuration, 130 stopped by a signal after saving.
    """
    if {"-h", "--help"} & set(arguments):
        print(f"{__doc__}\n{help_text()}")
        return 0
    dry = [a for a in arguments if a.partition("=")[0] == "--dry-run"]
    try:
        gpus = Gpus.parse(dry[0].partition("=")[2]) if dry and dry[0] != "--dry-run" else None
        processes = gpus.count if gpus else int(os.environ.get("WORLD_SIZE", "1"))
        config = load_config([a for a in arguments if a not in dry], processes)
        if not dry:
            check_support(config)
            return _run(config)
    except ConfigError as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    from rlvr.planning.dry_run import describe

    print(describe(config, processes, gpus))
    return 0


def _run(config: Config) -> int:
    from rlvr.core.checkpoint import CheckpointError
    from rlvr.core.interrupts import Interrupted
    from rlvr.engines import EngineError
    from rlvr.models.loading import ModelError
    from rlvr.rollouts.collect import DrawsError
    from rlvr.rollouts.rewards import RewardError
    from rlvr.runs.assemble import run
    from rlvr.sandbox import StartError
    from rlvr.tasks import TaskError
    from rlvr.tracking.monitor import AlarmError

    try:
        complete = run(config)
    except Interrupted:
        complete = False
    except (
        RunDirError,
        CheckpointError,
        ModelError,
        TaskError,
        AlarmError,
        DrawsError,
        RewardError,
        StartError,
        EngineError,
    ) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0 if complete else INTERRUPTED


if __name__ == "__main__":
    wait_briefly()
    sys.exit(main(sys.argv[1:]))
