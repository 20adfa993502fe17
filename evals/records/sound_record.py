"""What a gap record says of soundness: the same measures over right answers without a wrong step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evals.estimators.gap import gap as estimate_gap
from evals.estimators.gap import pass_at_k_difference
from evals.estimators.solvability import equal_draws, ledger
from evals.estimators.soundness import SoundCounts, apart, undecided_share, unsound_share


@dataclass(frozen=True)
class SoundRecord:
    """Shares are fractions 0..1; names are those of `GapRecord`, of sound answers alone.

    unsound: the share of right answers with a wrong step. undecided: of those that the checker could not
    decide on, which count as sound. only_unsound: problems that were solved, and never soundly. apart:
    whether sound pass@1 lies below the 95 % interval of pass@1. base_*: the same of the base.
    """

    pass_at_k: list[float | None]
    base_pass_at_k: list[float | None]
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
    only_unsound: int
    base_only_unsound: int
    unsound: float | None
    unsound_low: float | None
    unsound_high: float | None
    undecided: float | None
    apart: bool
    base_unsound: float | None
    base_unsound_low: float | None
    base_unsound_high: float | None
    base_undecided: float | None
    base_apart: bool


def sound_record(base: SoundCounts, policy: SoundCounts, k: int, ks: Sequence[int]) -> SoundRecord:
    """Holds a policy's sound answers against the base's at K = k, with the curves at these ks.

    base and policy may be the same object, whose differences are 0 for certain.
    """
    b, p = base.sound, policy.sound
    gap = estimate_gap(b, p, k) if k <= b.largest_k else None
    change = pass_at_k_difference(b, p, 1)
    at = min(k, b.largest_k, p.largest_k)
    solved = ledger(b.correct, p.correct) if equal_draws(b, p) else None
    unsound, base_unsound = unsound_share(policy), unsound_share(base)
    undecided, base_undecided = undecided_share(policy), undecided_share(base)
    return SoundRecord(
        pass_at_k=_curve(policy, ks),
        base_pass_at_k=_curve(base, ks),
        gap=gap and gap.value,
        gap_low=gap and gap.new_problems.low,
        gap_high=gap and gap.new_problems.high,
        gap_these_low=gap and gap.these_problems.low,
        gap_these_high=gap and gap.these_problems.high,
        pass_at_1_change=change.value,
        change_low=change.new_problems.low,
        change_high=change.new_problems.high,
        coverage_lost=float(b.pass_at_k(at).mean() - p.pass_at_k(at).mean()),
        gained=solved and solved.gained,
        lost=solved and solved.lost,
        both=solved and solved.both,
        neither=solved and solved.neither,
        only_unsound=int(policy.only_unsound.sum()),
        base_only_unsound=int(base.only_unsound.sum()),
        unsound=unsound and unsound.value,
        unsound_low=unsound and unsound.interval.low,
        unsound_high=unsound and unsound.interval.high,
        undecided=undecided and undecided.value,
        apart=apart(policy),
        base_unsound=base_unsound and base_unsound.value,
        base_unsound_low=base_unsound and base_unsound.interval.low,
        base_unsound_high=base_unsound and base_unsound.interval.high,
        base_undecided=base_undecided and base_undecided.value,
        base_apart=apart(base),
    )


def _curve(counts: SoundCounts, ks: Sequence[int]) -> list[float | None]:
    sound = counts.sound
    return [float(sound.pass_at_k(k).mean()) if k <= sound.largest_k else None for k in ks]
