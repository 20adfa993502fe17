"""What a record says of a policy held against its base, of all right answers and of sound ones alike."""

from __future__ import annotations

from dataclasses import dataclass

from evals.estimators.counts import Counts
from evals.estimators.gap import gap as estimate_gap
from evals.estimators.gap import pass_at_k_difference
from evals.estimators.solvability import equal_draws, ledger
from evals.estimators.turns import TurnCounts, at_equal_tokens, mean_pass_at


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


@dataclass(frozen=True, kw_only=True)
class TurnRecord:
    """What a gap record says of episodes: pass@(k, T), in the order of the turns T = 1, 2, ...

    pass_at_1, pass_at_k: within T turns, at 1 and at K tries; *_low, *_high: 95 % for new problems. tokens:
    that a try within T turns samples, the mean. equal_tokens: what as many sampled tokens a problem give at
    every T, `budget`: those of K tries of one turn, of the base; None where there are too few samples.
    failed: the share of episodes whose environment failed. base_*: the same of the base.
    """

    pass_at_1: list[float]
    pass_at_1_low: list[float]
    pass_at_1_high: list[float]
    pass_at_k: list[float | None]
    pass_at_k_low: list[float | None]
    pass_at_k_high: list[float | None]
    tokens: list[float]
    equal_tokens: list[float | None]
    failed: float
    base_pass_at_1: list[float]
    base_pass_at_k: list[float | None]
    base_tokens: list[float]
    base_equal_tokens: list[float | None]
    base_failed: float
    budget: float


def turn_record(
    base: TurnCounts, policy: TurnCounts, k: int, failed: float, base_failed: float
) -> TurnRecord:
    """Holds a policy's episodes against the base's at K = k."""
    at_1 = [mean_pass_at(policy, 1, t) for t in range(1, policy.turns + 1)]
    reached = k <= int(policy.n.min())
    at_k = [mean_pass_at(policy, k, t) if reached else None for t in range(1, policy.turns + 1)]
    budget = k * float(base.tokens[0].mean())
    bought, base_bought = at_equal_tokens(policy, budget), at_equal_tokens(base, budget)
    return TurnRecord(
        pass_at_1=[e.value for e in at_1],
        pass_at_1_low=[e.new_problems.low for e in at_1],
        pass_at_1_high=[e.new_problems.high for e in at_1],
        pass_at_k=[e and e.value for e in at_k],
        pass_at_k_low=[e and e.new_problems.low for e in at_k],
        pass_at_k_high=[e and e.new_problems.high for e in at_k],
        tokens=policy.tokens.mean(axis=1).tolist(),
        equal_tokens=[b and b.mean for b in bought],
        failed=failed,
        base_pass_at_1=[curve(base.within(t), [1])[0] or 0.0 for t in range(1, base.turns + 1)],
        base_pass_at_k=[curve(base.within(t), [k])[0] for t in range(1, base.turns + 1)],
        base_tokens=base.tokens.mean(axis=1).tolist(),
        base_equal_tokens=[b and b.mean for b in base_bought],
        base_failed=base_failed,
        budget=budget,
    )
