"""wandb as a mirror of the files: whatever happens to it, the run goes on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from typing import Any

from rlvr.config import Config
from rlvr.run_dir import RunDir

# How long the end of a run waits for the mirror (seconds).
PATIENCE = 30.0


class WandbMirror:
    """Hands rows to wandb in a thread of its own, so that a stalled server stalls nothing else.

    A failure is remembered in `failure` and ends the mirror, not the run. Every metric is drawn over
    `step`.
    """

    def __init__(self, config: Config, run_dir: RunDir):
        self.failure: str | None = None
        self._rows: queue.Queue[dict[str, Any] | None] = queue.Queue(maxsize=10_000)
        self._thread: threading.Thread | None = None
        if config.monitor.wandb != "disabled":
            arguments = (config, run_dir)
            self._thread = threading.Thread(target=self._run, args=arguments, daemon=True)
            self._thread.start()

    def log(self, row: Mapping[str, Any]) -> None:
        """Queues one row; rows that a stalled server leaves no room for are lost to the mirror alone."""
        if self._thread is None or self.failure:
            return
        try:
            self._rows.put_nowait(dict(row))
        except queue.Full:
            self.failure = "wandb did not keep up; metrics.jsonl has every row"

    def close(self) -> None:
        """Waits for the queued rows, but no longer than PATIENCE."""
        if self._thread is None:
            return
        try:
            self._rows.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            self.failure = f"wandb did not finish within {PATIENCE:.0f} s"

    def _run(self, config: Config, run_dir: RunDir) -> None:
        try:
            import wandb

            run = wandb.init(
                project=config.monitor.project,
                name=run_dir.path.name,
                dir=str(run_dir.path),
                mode=config.monitor.wandb,
                config=config.model_dump(),
                settings=wandb.Settings(silent=True, console="off", init_timeout=60),
            )
            run.define_metric("step")
            run.define_metric("*", step_metric="step")
            while (row := self._rows.get()) is not None:
                run.log(row)
            run.finish()
        except Exception as error:
            self.failure = f"wandb: {error}"
