"""What a gap record says of soundness: the same measures over right answers without a wrong step."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from evals.estimators.soundness import SoundCounts, apart, undecided_share, unsound_share
from evals.records.differences import Differences, curve, differences


@dataclass(frozen=True, kw_only=True)
class SoundRecord(Differences):
    """Shares are fractions 0..1; names are those of `GapRecord`, of sound answers alone.

    unsound: the share of right answers with a wrong step. undecided: of those that the checker could not
    decide on, which count as sound. only_unsound: problems that were solved, and never soundly. apart:
    whether sound pass@1 lies below the 95 % interval of pass@1. base_*: the same of the base.
    """

    pass_at_k: list[float | None]
    base_pass_at_k: list[float | None]
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


def sound_record(base: SoundCounts, policy: SoundCounts, k: int, ks: list[int]) -> SoundRecord:
    """Holds a policy's sound answers against the base's at K = k, with the curves at these ks.

    base and policy may be the same object, whose differences are 0 for certain.
    """
    b, p = base.sound, policy.sound
    unsound, base_unsound = unsound_share(policy), unsound_share(base)
    undecided, base_undecided = undecided_share(policy), undecided_share(base)
    return SoundRecord(
        pass_at_k=curve(p, ks),
        base_pass_at_k=curve(b, ks),
        **asdict(differences(b, p, k)),
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
