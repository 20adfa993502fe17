"""What a record says of a policy held against its base, of all right answers and of sound ones alike."""

from __future__ import annotations

from dataclasses import dataclass

from evals.estimators.counts import Counts
from evals.estimators.gap import gap as estimate_gap
from evals.estimators.gap import pass_at_k_difference
from evals.estimators.solvability import equal_draws, ledger


@dataclass(frozen=True, kw_only=True)
class Differences:
    """Fields of `GapRecord` and `SoundRecord`, with their meaning there. gap: None where the base has too few
    samples; gained to neither: where the two have not equally many of every problem."""

    gap: float | None
    gap_low: float | None
    gap_high: float | None
    gap_these_low: float | None
    gap_these_high: float | None
    pass_at_1_change: float
    change_low: float
    change_high: float
    coverage_lost: float
    gained: int | None
    lost: int | None
    both: int | None
    neither: int | None


def differences(base: Counts, policy: Counts, k: int) -> Differences:
    """At K = k. base and policy may be the same object, whose differences are 0 for certain."""
    gap = estimate_gap(base, policy, k) if k <= base.largest_k else None
    change = pass_at_k_difference(base, policy, 1)
    at = coverage_k(base, policy, k)
    solved = ledger(base.correct, policy.correct) if equal_draws(base, policy) else None
    return Differences(
        gap=gap and gap.value,
        gap_low=gap and gap.new_problems.low,
        gap_high=gap and gap.new_problems.high,
        gap_these_low=gap and gap.these_problems.low,
        gap_these_high=gap and gap.these_problems.high,
        pass_at_1_change=change.value,
        change_low=change.new_problems.low,
        change_high=change.new_problems.high,
        coverage_lost=float(base.pass_at_k(at).mean() - policy.pass_at_k(at).mean()),
        gained=solved and solved.gained,
        lost=solved and solved.lost,
        both=solved and solved.both,
        neither=solved and solved.neither,
    )


def coverage_k(base: Counts, policy: Counts, k: int) -> int:
    """The largest k, K at most, at which both have pass@k."""
    return min(k, base.largest_k, policy.largest_k)


def curve(counts: Counts, ks: list[int]) -> list[float | None]:
    """pass@k at each k; None where there are too few samples."""
    return [float(counts.pass_at_k(k).mean()) if k <= counts.largest_k else None for k in ks]
