"""wandb as a mirror of the files: whatever happens to it, the run continues."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from typing import Any

from rlvr.config.schema import Config
from rlvr.core.run_dir import RunDir
from rlvr.hooks import HookReport

# How long the run's end waits for the mirror beyond what its server may take (seconds).
MARGIN = 30.0

Entry = tuple[Mapping[str, Any], HookReport]


class WandbThread:
    """Sends rows to wandb in a thread of its own, so that a stalled server stalls nothing else.

    failure: what went wrong, if anything did, and what to do about it; never a reason to stop. part: see
    `WandbRun`.
    """

    def __init__(self, config: Config, run_dir: RunDir, part: str = ""):
        self.failure: str | None = None
        self._patience = 2 * config.monitor.wandb_timeout + MARGIN
        self._entries: queue.Queue[Entry | None] = queue.Queue(maxsize=10_000)
        self._thread: threading.Thread | None = None
        if config.monitor.wandb != "disabled":
            arguments = (config, run_dir, part)
            self._thread = threading.Thread(target=self._run, args=arguments, daemon=True)
            self._thread.start()

    def log(self, row: Mapping[str, Any], report: HookReport) -> None:
        """Queues one row; rows that wandb leaves no room for are lost to the mirror alone."""
        if self._thread is None or not self._thread.is_alive():
            return
        try:
            self._entries.put_nowait((row, report))
        except queue.Full:
            self.failure = "wandb did not keep up; metrics.jsonl has every row"

    def close(self) -> None:
        """Waits for the queued rows, but not for ever."""
        if self._thread is None:
            return
        try:
            self._entries.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(self._patience)
        if self._thread.is_alive():
            self.failure = f"wandb did not finish within {self._patience:.0f} s"

    def _run(self, config: Config, run_dir: RunDir, part: str) -> None:
        try:
            from rlvr.tracking.wandb_run import WandbRun

            run = WandbRun(config, run_dir, part)
            self.failure = run.refused
            while (entry := self._entries.get()) is not None:
                run.log(*entry)
            run.finish()
        except Exception as error:
            self.failure = f"wandb: {error or type(error).__name__}"
