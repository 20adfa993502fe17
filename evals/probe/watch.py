"""Which probed policy is the best so far, and whether training should go on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evals.records.gap_record import GapRecord
from evals.sampling.settings import WatchConfig


@dataclass(frozen=True)
class Decision:
    """best: the record of the best policy, None if there is none. stop: why training should end."""

    best: GapRecord | None
    stop: str | None


def decide(records: Sequence[GapRecord], watch: WatchConfig) -> Decision:
    """From the records of one task, oldest first. The base itself, probed before training, competes on the
    gap alone: it has lost no coverage. A tie goes to the earlier policy."""
    limit = watch.max_coverage_lost
    good = [r for r in records if limit is None or r.coverage_lost <= limit]
    if watch.by == "coverage_lost":
        good = [r for r in good if r.policy_hash != r.base_hash]
    ranked = [r for r in good if (value := getattr(r, watch.by)) is not None and not math.isnan(value)]
    best = min(ranked, key=lambda r: (getattr(r, watch.by), r.step), default=None)
    newest = records[-1] if records else None
    if newest and limit is not None and not newest.coverage_lost <= limit:  # what is no number is no less
        lost = f"{100 * newest.coverage_lost:.1f} points of pass@{newest.coverage_k}"
        return Decision(best, f"{lost} are lost on {newest.task}, more than {100 * limit:.1f}")
    since = len([r for r in records if best and r.step > best.step])
    if best and watch.patience is not None and since >= watch.patience:
        return Decision(best, f"no better {watch.by} on {best.task} in {since} probes since step {best.step}")
    return Decision(best, None)
