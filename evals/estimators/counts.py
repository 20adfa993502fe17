"""What the estimators are functions of: how many samples of each problem were right."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evals.estimators.passk import inverse_pass_at_k, pass_at_k


class Counts:
    """Samples and successes of P problems, aligned by problem.

    n: [P] samples of each problem, or one number for all. correct: [P] how many were right.
    stop_r: a problem was sampled until its r-th success, in the order of the sample indices, or until
    n_max; None: the number of samples was fixed beforehand.
    n_max: the most samples that a problem could get; by default the largest n.

    Raises ValueError for counts that no such sampling can give.
    """

    def __init__(self, n: ArrayLike, correct: ArrayLike, stop_r: int | None = None, n_max: int | None = None):
        self.correct: NDArray[np.int64] = np.asarray(correct, dtype=np.int64)
        self.n: NDArray[np.int64] = np.broadcast_to(np.asarray(n, dtype=np.int64), self.correct.shape)
        self.stop_r = stop_r
        if self.correct.ndim != 1 or self.correct.size == 0:
            raise ValueError("give one count per problem, for at least one problem")
        self.n_max = int(self.n.max()) if n_max is None else n_max
        self._check()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Counts):
            return NotImplemented
        same = (self.stop_r, self.n_max) == (other.stop_r, other.n_max)
        return same and np.array_equal(self.n, other.n) and np.array_equal(self.correct, other.correct)

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return self.correct.size

    @property
    def largest_k(self) -> int:
        """The largest k for which pass@k can be estimated without bias."""
        return int(self.n.min()) if self.stop_r is None else self.n_max

    @property
    def samples(self) -> int:
        """Samples of all problems together."""
        return int(self.n.sum())

    @property
    def solved(self) -> NDArray[np.bool_]:
        """[P]: whether a problem was solved at least once."""
        return self.correct > 0

    def pass_at_k(self, k: int) -> NDArray[np.float64]:
        """[P]: unbiased pass@k of each problem. Raises ValueError for k above `largest_k`."""
        if not 1 <= k <= self.largest_k:
            raise ValueError(f"pass@{k} needs at least {k} samples per problem, there are {self.largest_k}")
        if self.stop_r is None:
            return pass_at_k(self.n, self.correct, k)
        return inverse_pass_at_k(self.n, self.correct, self.stop_r, k)

    def _check(self) -> None:
        if self.n.min() < 1 or self.n.max() > self.n_max:
            raise ValueError(f"a problem has between 1 and n_max = {self.n_max} samples")
        if self.correct.min() < 0 or (self.correct > self.n).any():
            raise ValueError("correct counts must lie between 0 and the problem's n")
        if self.stop_r is None:
            return
        if self.stop_r < 1:
            raise ValueError(f"stop_r = {self.stop_r}: a problem stops at its first success or later")
        if (self.correct > self.stop_r).any():
            raise ValueError(f"a problem that stops at {self.stop_r} successes has no more of them")
        if ((self.correct < self.stop_r) & (self.n < self.n_max)).any():
            raise ValueError(f"a problem with fewer than {self.stop_r} successes has n_max = {self.n_max}")


def check_paired(base: Counts, policy: Counts) -> None:
    """Raises ValueError unless both have equally many problems."""
    if len(base) != len(policy):
        raise ValueError(
            f"the base has {len(base)} problems, the policy {len(policy)}: they are paired by problem"
        )
