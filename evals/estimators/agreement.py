"""A judge of reasoning held against an exact checker on the same samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evals.estimators.intervals.ratios import Share, share


@dataclass(frozen=True)
class Agreement:
    """What a judge's decisions are worth; shares with 95 % intervals over problems, None of nothing.

    samples: those that the exact checker decided. unsound: of them, those that it calls unsound.
    undecided: of all, those that the judge leaves open. agreement: of those that both decided, where they
    say the same. precision: of those that the judge calls unsound, the unsound ones. recall: of the unsound
    ones, those that the judge calls so; an open one is not found.
    """

    samples: int
    unsound: int
    undecided: Share | None
    agreement: Share | None
    precision: Share | None
    recall: Share | None


def agreement(problems: Sequence[str], judge: Sequence[bool | None], exact: Sequence[bool]) -> Agreement:
    """One entry a sample. Samples of one problem are no independent evidence: intervals are over problems.

    Raises ValueError for sequences of different lengths.
    """
    if not len(problems) == len(judge) == len(exact):
        raise ValueError("give a problem and both decisions for every sample")
    names = {problem: i for i, problem in enumerate(dict.fromkeys(problems))}
    owner = np.array([names[problem] for problem in problems], dtype=np.int64)
    called = np.array([sound is False for sound in judge], dtype=bool)
    left = np.array([sound is None for sound in judge], dtype=bool)
    unsound = ~np.array(exact, dtype=bool)

    def count(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(owner[flags], minlength=len(names))

    both, every = count(called & unsound), np.ones_like(left)
    return Agreement(
        samples=len(exact),
        unsound=int(unsound.sum()),
        undecided=share(count(left), count(every)),
        agreement=share(count(~left & (called == unsound)), count(~left)),
        precision=share(both, count(called)),
        recall=share(both, count(unsound)),
    )
