"""What each run cost, and the configuration keys in which runs differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from evals.reports.compare.loading import Run
from rlvr.config.keys import flattened

# Keys that say where a run is, not what it does.
PLACES = ("run_dir",)


class Cost(NamedTuple):
    """seconds: of the steps, probes and saving left out. tokens: sampled in training, exact where the
    trainer counted them. probe_samples: newly drawn for the policy and the base; what the store held
    costs nothing."""

    steps: int
    samples: int
    tokens: int
    exact: bool
    seconds: float
    probe_samples: int


def cost(run: Run) -> Cost:
    """From metrics.jsonl and probe.jsonl; zeros where no step was logged."""
    last: Mapping[str, Any] = run.metrics[-1] if run.metrics else {}
    counted = "total/tokens" in last
    return Cost(
        steps=run.trained,
        samples=int(last.get("total/samples", 0)),
        tokens=int(last["total/tokens"]) if counted else round(_tokens(run.metrics)),
        exact=counted,
        seconds=sum(row["time/step"] for row in run.metrics),
        probe_samples=sum(record["samples_drawn"] for record in run.records),
    )


def _tokens(metrics: Sequence[Mapping[str, Any]]) -> float:
    """The mean length at each step times the samples that it drew."""
    totals = [0, *(row["total/samples"] for row in metrics)]
    drawn = [after - before for before, after in pairwise(totals)]
    return sum(row["rollout/length"] * samples for row, samples in zip(metrics, drawn, strict=True))


def differing_keys(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Key -> its value in each run, as JSON; "" where a run's configuration has no such key."""
    flat = [flattened(run.config.model_dump(mode="json")) for run in runs]
    keys = dict.fromkeys(key for own in flat for key in own if key not in PLACES)
    table = {key: [json.dumps(own[key]) if key in own else "" for own in flat] for key in keys}
    return {key: values for key, values in table.items() if len(set(values)) > 1}
