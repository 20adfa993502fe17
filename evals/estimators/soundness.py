"""Right answers after a wrong step: pass@k of sound answers, and the share of right ones that are not.

A right answer counts as sound where its checker found no wrong step. One that the checker could not decide
on counts as sound too, so that sound pass@k is an upper bound by the share of these; it stands beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evals.estimators.counts import Counts
from evals.estimators.intervals import Interval, bootstrap_mean, percentiles, resampled_means


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


class Share(NamedTuple):
    """A share of right answers, with its 95 % bootstrap interval over problems."""

    value: float
    interval: Interval


def unsound_share(counts: SoundCounts) -> Share | None:
    """The share of right answers with a wrong step; None where no answer is right."""
    return ratio_share(counts.unsound, counts.right.correct)


def undecided_share(counts: SoundCounts) -> Share | None:
    """The share of right answers on which the checker could not decide; None where no answer is right."""
    return ratio_share(counts.undecided, counts.right.correct)


def apart(counts: SoundCounts) -> bool:
    """Whether sound pass@1 lies below the 95 % interval of pass@1 over problems: the two tell a different
    story, and not by the luck of the problems."""
    return bool(counts.sound.pass_at_k(1).mean() < bootstrap_mean(counts.right.pass_at_k(1)).low)


def ratio_share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> Share | None:
    """A ratio of sums over problems, [P] each; None where `whole` is 0. Resamples without any say nothing."""
    if not whole.sum():
        return None
    means = resampled_means(np.stack([part, whole], axis=1))
    known = means[means[:, 1] > 0]
    return Share(float(part.sum() / whole.sum()), percentiles(known[:, 0] / known[:, 1]))
