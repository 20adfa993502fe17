"""How a problem is sampled: everything that can come of it, and what one way saves against another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, xlog1py, xlogy

from evals.estimators.counts import Counts


@dataclass(frozen=True)
class Design:
    """All O outcomes of sampling one problem.

    outcomes: the counts of each. log_sequences: [O] log of how many sequences of right and wrong give it.
    """

    outcomes: Counts
    log_sequences: NDArray[np.float64]

    def probabilities(self, rates: ArrayLike) -> NDArray[np.float64]:
        """[G, O]: the chance of each outcome for problems of these G success rates."""
        return np.exp(self.log_sequences + log_likelihood(self.outcomes, rates))

    def error_variance(self, rates: ArrayLike, combination: Mapping[int, float]) -> NDArray[np.float64]:
        """[G]: the variance of the unbiased estimate of a combination of pass@k, over repeated sampling.

        combination: weights by k; {256: 1, 1: -1} is pass@256 - pass@1 from the same samples.
        Raises ValueError for a k that the design cannot estimate.
        """
        values = np.sum([w * self.outcomes.pass_at_k(k) for k, w in combination.items()], axis=0)
        chances = self.probabilities(rates)
        centred = values - (chances @ values)[:, None]
        return (chances * centred**2).sum(axis=1)

    def mean_samples(self, rates: ArrayLike) -> NDArray[np.float64]:
        """[G]: how many samples per problem gets on average."""
        return self.probabilities(rates) @ self.outcomes.n


def fixed_design(n: int) -> Design:
    """n samples, whatever comes."""
    correct = np.arange(n + 1)
    return Design(Counts(n, correct), _log_choose(n, correct))


def inverse_design(r: int, n_max: int) -> Design:
    """Until the r-th success, or until n_max. Haldane 1945, "On a method of estimating frequencies"."""
    stopped = np.arange(r, n_max + 1)
    unfinished = np.arange(min(r, n_max + 1))
    n = np.concatenate([stopped, np.full(unfinished.size, n_max)])
    correct = np.concatenate([np.full(stopped.size, r), unfinished])
    log_sequences = np.concatenate([_log_choose(stopped - 1, r - 1), _log_choose(n_max, unfinished)])
    return Design(Counts(n, correct, r, n_max), log_sequences)


def designs_of(counts: Counts) -> Iterator[tuple[Design, NDArray[np.bool_]]]:
    """Each design by which problems of these counts were sampled, with a mask [P] of those problems."""
    if counts.stop_r is not None:
        yield inverse_design(counts.stop_r, counts.n_max), np.ones(len(counts), dtype=bool)
        return
    for n in np.unique(counts.n):
        yield fixed_design(int(n)), counts.n == n


def log_likelihood(counts: Counts, rates: ArrayLike) -> NDArray[np.float64]:
    """[G, P]: log p^c (1-p)^(n-c), the same for a fixed n and for inverse sampling but for a constant."""
    p = np.asarray(rates, dtype=np.float64)[:, None]
    return np.asarray(xlogy(counts.correct, p) + xlog1py(counts.n - counts.correct, -p))


def _log_choose(n: ArrayLike, k: ArrayLike) -> NDArray[np.float64]:
    whole, part = np.asarray(n), np.asarray(k)
    return np.asarray(gammaln(whole + 1) - gammaln(part + 1) - gammaln(whole - part + 1))


class Efficiency(NamedTuple):
    """Standard errors of mean pass@k over these problems, at equal samples.

    samples: per problem under inverse sampling, on average; the fixed design has `fixed_n`, the nearest
    whole number. relative: fixed / inverse; above 1 inverse sampling is the better.
    """

    samples: float
    fixed_n: int
    inverse: float
    fixed: float

    @property
    def relative(self) -> float:
        return self.fixed / self.inverse


def inverse_efficiency(rates: ArrayLike, r: int, n_max: int, k: int) -> Efficiency:
    """Exactly, by summing over all outcomes of both designs.

    rates: [P] the success rates of the problems. Raises ValueError where a problem gets fewer than k
    samples, for then the fixed design has no unbiased pass@k at equal samples.
    """
    p = np.asarray(rates, dtype=np.float64)
    inverse = inverse_design(r, n_max)
    samples = float(inverse.mean_samples(p).mean())
    fixed_n = max(round(samples), 1)
    error_inverse, error_fixed = (
        float(np.sqrt(design.error_variance(p, {k: 1.0}).sum())) / p.size
        for design in (inverse, fixed_design(fixed_n))
    )
    return Efficiency(samples, fixed_n, error_inverse, error_fixed)
