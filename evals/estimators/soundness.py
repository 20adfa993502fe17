"""Right answers after a wrong step: pass@k of sound answers, and the share of right ones that are not.

A right answer counts as sound where its checker found no wrong step. One that the checker could not decide
on counts as sound too, so that sound pass@k is an upper bound by the share of these; it stands beside them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evals.estimators.counts import Counts
from evals.estimators.intervals.means import SHARE, mean_interval
from evals.estimators.intervals.ratios import Share, share


@dataclass(frozen=True, eq=False)
class SoundCounts:
    """Of P problems. right: samples with a right answer. sound: those of them without a wrong step.
    undecided: [P] those of the sound ones on which the checker could not decide.

    Raises ValueError for counts that no checker can give, and where sampling stopped at a success, since
    then n is not independent of the sound ones.
    """

    right: Counts
    sound: Counts
    undecided: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.right.stop_r is not None:
            raise ValueError("sound answers are counted where the number of samples is fixed")
        if (self.sound.correct > self.right.correct).any() or (self.undecided > self.sound.correct).any():
            raise ValueError("sound answers are right ones, and undecided ones count as sound")

    @classmethod
    def of(cls, right: Counts, sound: ArrayLike, undecided: ArrayLike) -> SoundCounts:
        """From the counts by problem."""
        return cls(right, Counts(right.n, sound, None, right.n_max), np.asarray(undecided, dtype=np.int64))

    @property
    def unsound(self) -> NDArray[np.int64]:
        """[P]: right answers with a wrong step."""
        return self.right.correct - self.sound.correct

    @property
    def only_unsound(self) -> NDArray[np.bool_]:
        """[P]: problems that were solved, and never soundly: right, for a wrong reason."""
        return self.right.solved & ~self.sound.solved


def unsound_share(counts: SoundCounts) -> Share | None:
    """The share of right answers with a wrong step; None where no answer is right."""
    return share(counts.unsound, counts.right.correct)


def undecided_share(counts: SoundCounts) -> Share | None:
    """The share of right answers on which the checker could not decide; None where no answer is right."""
    return share(counts.undecided, counts.right.correct)


def apart(counts: SoundCounts) -> bool:
    """Whether sound pass@1 lies below the 95 % interval of pass@1 over problems: the two tell a different
    story, and not by the luck of the problems."""
    return bool(counts.sound.pass_at_k(1).mean() < mean_interval(counts.right.pass_at_k(1), SHARE).low)
