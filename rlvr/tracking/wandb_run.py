"""One wandb run for one run directory, over all its resumes, on a server or on this disk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import wandb
from wandb.sdk.lib import runid

from rlvr.config.schema import Config
from rlvr.core.records import read_object
from rlvr.core.run_dir import RunDir, write_json
from rlvr.hooks import Curves, HookReport, Table

# What curves can be drawn over; `step` unless a panel says otherwise.
AXES = ("step", "total/samples", "total/tokens", "total/seconds")
LONGEST_TAG = 64

REMEDY = "remove it to go on as a new run of wandb"


def group_of(config: Config) -> str:
    """The runs that belong in one picture: the same task and model, whatever the algorithm."""
    return config.monitor.group or f"{config.task.name}-{model_of(config)}"


def model_of(config: Config) -> str:
    """The model's name without the directories or the account that it lies in."""
    return Path(config.model).name


class WandbRun:
    """An open run. refused: why it is recorded on this disk alone although the server was asked for.

    The run's id and the number of its rows are in the run directory, so that a resumed run continues as
    the same wandb run, and rows never share a number. part: names the run of a process that records beside
    the one that trains, since two cannot write to one run of wandb; it stands in the same group.
    """

    def __init__(self, config: Config, run_dir: RunDir, part: str = ""):
        # wandb's reports about itself would hold up the end of the process where the server stalls.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        self.refused: str | None = None
        self._run_dir = run_dir
        self._record = run_dir.path / f".wandb-{part}.json" if part else run_dir.wandb
        known = read_object(self._record, "id", remedy=REMEDY) if self._record.exists() else {}
        self._id: str = known.get("id") or runid.generate_id()
        self._rows: int = known.get("rows", 0)
        self._options: dict[str, Any] = {
            "id": self._id,
            "resume": "allow" if known else None,
            "project": config.monitor.project,
            "name": run_dir.path.resolve().name + (f"-{part}" if part else ""),
            "group": group_of(config),
            "job_type": part or "train",
            "tags": tags_of(config),
            "config": config.model_dump(mode="json"),
            "dir": str(run_dir.path),
        }
        self._timeout = config.monitor.wandb_timeout
        self._run = self._open(config.monitor.wandb)
        for axis in AXES:
            self._run.define_metric(axis)
        self._run.define_metric("*", step_metric=AXES[0])

    def log(self, row: Mapping[str, Any], report: HookReport) -> None:
        """One row of history with what a hook reported at that point."""
        tables = {key: as_table(make()) for key, make in report.tables.items()}
        curves = {key: as_chart(curves) for key, curves in report.curves.items()}
        step = self._rows
        self._rows += 1
        write_json(self._record, {"id": self._id, "rows": self._rows})
        self._run.log({**row, **report.metrics, **tables, **curves}, step=step)
        self._run.summary.update(dict(report.summary))
        if report.files:
            self._keep(report.files, row["step"])

    def finish(self) -> None:
        """Raises TimeoutError if the server did not take everything in time."""
        try:
            self._run.finish()
        except TimeoutError:
            directory = self._run.settings.sync_dir
            advice = f"send it with: wandb sync --include-online {directory}"
            raise TimeoutError(f"not everything was sent; {advice}") from None

    def _open(self, mode: Literal["online", "offline", "disabled"]) -> wandb.Run:
        """Opens the run on the server, or on this disk where that is what was asked for or all that works."""
        wandb.setup(self._settings())
        try:
            if mode == "online" and not wandb.login(prompt=False, verify=False):
                raise wandb.Error("there is no API key (wandb login makes one)")
            return wandb.init(mode=mode, settings=self._settings(), **self._options)
        except wandb.Error as error:
            if mode == "offline":
                raise
            wandb.teardown()  # it would not let go of the run's id
            wandb.setup(self._settings())
            run = wandb.init(mode="offline", settings=self._settings(), **self._options)
            reason = str(error).splitlines()[0]
            advice = f"send it with: wandb sync {run.settings.sync_dir}"
            self.refused = f"wandb: {reason}. The run is recorded offline; {advice}"
            return run

    def _settings(self) -> wandb.Settings:
        return wandb.Settings(
            silent=True,
            console="off",
            init_timeout=self._timeout,
            finish_timeout=self._timeout,
            finish_timeout_raises=True,
        )

    def _keep(self, files: tuple[Path, ...], step: int) -> None:
        """A new version of the run's one artifact, with these files as they are now."""
        artifact = wandb.Artifact(f"measurements-{self._id}", "measurements", metadata={"step": step})
        for file in files:
            artifact.add_file(str(file), name=str(file.relative_to(self._run_dir.path)))
        self._run.log_artifact(artifact, aliases=["latest", f"step-{step}"])


def tags_of(config: Config) -> list[str]:
    """What runs are told apart and filtered by."""
    names = (config.algorithm.name, config.task.name, model_of(config), config.engine.name)
    return [name[:LONGEST_TAG] for name in dict.fromkeys(names)]


def as_table(table: Table) -> wandb.Table:
    rows = [list(row) for row in table.rows]
    return wandb.Table(columns=list(table.columns), data=rows, allow_mixed_types=True)


def as_chart(curves: Curves) -> Any:
    """A chart of lines, with their points in a table of its own."""
    xs = [list(xs) for xs, _ in curves.lines.values()]
    ys = [list(ys) for _, ys in curves.lines.values()]
    return wandb.plot.line_series(xs, ys, keys=list(curves.lines), title=curves.title, xname=curves.x)
