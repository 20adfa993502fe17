"""Makes a wandb workspace and a report in which the runs of one group are compared.

  python launch/wandb_dashboard.py --entity E --project P --group G [--x samples] [--k 256] [--spec-only]

Runs are averaged by algorithm, so that several seeds are one line with its spread, and sorted by their gap.
The x axis is the training step, or what the run had used by then: samples, tokens or seconds. --spec-only
prints what would be sent and needs no server. Exit status: 0 made, 1 the server refused, 2 wrong arguments.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

try:
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws
    from wandb_workspaces.expr import And
except ModuleNotFoundError:
    sys.exit("error: this needs the package wandb-workspaces: pip install 'rlvr[dashboards]'")
import wandb

# --x -> the metric that every panel is drawn over.
AXES = {"step": "step", "samples": "total/samples", "tokens": "total/tokens", "seconds": "total/seconds"}
ALGORITHM = "algorithm.name"
COLUMNS = ("gap", "gap_low", "gap_high", "pass_at_1", "closed", "coverage_lost")
# Of 24 in a report's grid.
PANEL_WIDTH, PANEL_HEIGHT = 8, 6


@dataclass(frozen=True)
class Chart:
    """One panel: the metrics drawn in it, or a regular expression for their names."""

    title: str
    metrics: tuple[str, ...] = ()
    pattern: str | None = None
    stacked: bool = False

    def panel(self, x: str, place: int = 0) -> wr.LinePlot:
        """x: a metric. place: where it stands in a grid, counted in rows from the left."""
        column, row = place * PANEL_WIDTH % 24, place * PANEL_WIDTH // 24
        return wr.LinePlot(
            title=self.title,
            x=x,
            y=list(self.metrics),
            metric_regex=self.pattern,
            plot_type="stacked-area" if self.stacked else "line",
            max_runs_to_show=50,
            layout=wr.Layout(x=column, y=row * PANEL_HEIGHT, w=PANEL_WIDTH, h=PANEL_HEIGHT),
        )


def charts(k: int) -> dict[str, list[Chart]]:
    """By section. k: of the gap, `probe.k` of the runs."""
    return {
        "The gap": [
            Chart("pass@1, and without a wrong step", ("probe/pass@1", "probe/sound_pass@1")),
            Chart(f"pass@{k}, and without a wrong step", (f"probe/pass@{k}", f"probe/sound_pass@{k}")),
            Chart(
                f"gap: base pass@{k} - pass@1, with its 95 % interval",
                ("probe/gap", "probe/gap_low", "probe/gap_high"),
            ),
            Chart("share of the gap that is closed", ("probe/closed",)),
            Chart("coverage lost: base pass@k - pass@k at one k", ("probe/coverage_lost",)),
            Chart("gap, every task", pattern="^probe/.+/gap$"),
            Chart("share of right answers with a wrong step", ("probe/unsound",)),
        ],
        "Training": [
            Chart("share correct", ("rollout/correct",)),
            Chart("reward", ("rollout/reward",)),
            Chart("reward, its components", pattern="^reward/"),
            Chart("entropy (nats a token)", ("rollout/entropy",)),
            Chart("length (tokens)", ("rollout/length",)),
            Chart("completions that were cut", ("rollout/truncated",)),
            Chart("groups without variance", ("rollout/zero_variance",)),
        ],
        "Cost and health": [
            Chart("samples an update", ("rollout/samples",)),
            Chart("trainer and engine apart (nats)", ("mismatch/mean", "mismatch/max")),
            Chart(
                "a step's time (s)",
                ("time/rollout", "time/score", "time/update", "time/sync"),
                stacked=True,
            ),
        ],
    }


def workspace(entity: str, project: str, group: str, axis: str, k: int) -> ws.Workspace:
    """A view of the project's runs; what no panel here shows, tables and curves among it, follows below."""
    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"{group}, over {axis}",
        sections=[
            ws.Section(name=name, panels=[chart.panel(AXES[axis]) for chart in some], is_open=True)
            for name, some in charts(k).items()
        ],
        settings=ws.WorkspaceSettings(x_axis=AXES[axis], max_runs=50, group_by_prefix="first"),
        runset_settings=ws.RunsetSettings(
            filters=And(ws.Metric("Group") == group),
            groupby=[ws.Config(ALGORITHM)],
            order=[ws.Ordering(ws.Summary("gap"), ascending=True)],
            pinned_columns=[f"summary:{name}" for name in COLUMNS],
        ),
        auto_generate_panels=True,
    )


def report(entity: str, project: str, group: str, k: int) -> wr.Report:
    """The gap at equal steps and at equal samples, then the rest at equal steps."""
    sections = charts(k)
    gap = sections.pop("The gap")
    blocks: list[Any] = [
        wr.P(
            f"Runs of {group}, averaged by algorithm. The gap is the base's pass@{k} minus the policy's "
            "pass@1; lower is better. Held against pass@1, the lost coverage says at what price it closed."
        )
    ]
    for axis, title in (("step", "The gap at equal steps"), ("samples", "The gap at equal samples")):
        blocks += [wr.H2(title), grid(gap, group, axis)]
    for name, some in sections.items():
        blocks += [wr.H2(name), grid(some, group, "step")]
    title = f"Sampling-efficiency gap: {group}"
    return wr.Report(entity=entity, project=project, title=title[:128], blocks=blocks, width="fluid")


def grid(some: Iterable[Chart], group: str, axis: str) -> wr.PanelGrid:
    """Panels over the group's runs, in the report's own project."""
    runs = wr.Runset(
        name=group[:64],
        filters=And(ws.Metric("Group") == group),
        groupby=[f"config.{ALGORITHM}"],
        order=[wr.OrderBy(wr.SummaryMetric("gap"), ascending=True)],
    )
    return wr.PanelGrid(
        runsets=[runs], panels=[chart.panel(AXES[axis], place) for place, chart in enumerate(some)]
    )


def specification(made: ws.Workspace, written: wr.Report) -> dict[str, Any]:
    """Both, as they are sent."""
    dumped: dict[str, Any] = {"by_alias": True, "exclude_none": True, "mode": "json"}
    return {
        "workspace": made._to_model().spec.model_dump(**dumped),
        "report": written._to_model().spec.model_dump(**dumped),
    }


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    for name in ("entity", "project", "group"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--x", choices=AXES, default="step")
    parser.add_argument("--k", type=int, default=256)
    parser.add_argument("--spec-only", action="store_true")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status."""
    given = parse(arguments)
    made = workspace(given.entity, given.project, given.group, given.x, given.k)
    written = report(given.entity, given.project, given.group, given.k)
    if given.spec_only:
        print(json.dumps(specification(made, written), indent=1))
        return 0
    try:
        made.save()
        written.save()
    except (wandb.Error, ValueError, OSError) as error:
        print(f"error: wandb did not take the dashboard: {error}", file=sys.stderr)
        return 1
    print(f"workspace: {made.url}\nreport: {written.url}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
