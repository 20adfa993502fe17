"""The distribution of success rates over problems, fitted to counts (empirical Bayes)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats
from scipy.special import betaln, digamma, expit, logit

from evals.estimators.counts import Counts
from evals.estimators.designs import log_likelihood

# Between neighbouring rates of the grid, in logits.
SPACING = 0.2
# The fitted Beta weighs as much as this many problems. Chosen, with the number of EM steps, by the
# simulated coverage of the interval for these problems over six shapes of difficulty.
SMOOTHING = 10.0
EM_STEPS = 200


class BetaPrior(NamedTuple):
    """Success rates are Beta(a, b) over problems."""

    a: float
    b: float


@dataclass(frozen=True)
class SuccessRates:
    """A distribution of success rates on a grid. rates, weights: [G]; the weights sum to 1."""

    rates: NDArray[np.float64]
    weights: NDArray[np.float64]

    def pass_at_k(self, k: int) -> NDArray[np.float64]:
        """[G]: 1 - (1-p)^k of each rate."""
        return np.asarray(1 - (1 - self.rates) ** k)

    def posterior(self, counts: Counts) -> NDArray[np.float64]:
        """[P, G]: for each problem the chances of the rates, given its counts; rows sum to 1."""
        joint = _likelihood(counts, self.rates) * self.weights
        return np.asarray(joint / joint.sum(axis=1, keepdims=True))


def fit_beta(counts: Counts) -> BetaPrior:
    """The Beta(a, b) under which the counts are likeliest, each problem's rate integrated out.

    The beta-binomial marginal likelihood, product of B(a+c, b+n-c) / B(a, b), times a hyperprior in
    which the mean a/(a+b) and the shrinkage s/(1+s), s = a+b, are uniform (uniform shrinkage: Daniels
    1999), as a density of (log a, log b). The hyperprior keeps a and b finite and above 0 where all
    problems are alike; with many problems it does not matter.
    """
    pairs, copies = np.unique(np.stack([counts.n, counts.correct]), axis=1, return_counts=True)
    wrong, right = pairs[0] - pairs[1], pairs[1]

    def loss(logs: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        a, b = np.exp(logs)
        s = a + b
        value = copies @ (betaln(a + right, b + wrong) - betaln(a, b))
        value += logs.sum() - np.log(s) - 2 * np.log1p(s)
        common = digamma(s) - digamma(s + right + wrong)
        pull = 1 / s + 2 / (1 + s)
        slope_a = copies @ (digamma(a + right) - digamma(a) + common) - pull
        slope_b = copies @ (digamma(b + wrong) - digamma(b) + common) - pull
        return -value, -np.array([a * slope_a + 1, b * slope_b + 1])

    mean = np.clip(counts.correct.sum() / counts.samples, 1e-3, 1 - 1e-3)
    start = np.log([mean, 1 - mean])
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(-20, 20)] * 2)
    a, b = np.exp(found.x)
    return BetaPrior(float(a), float(b))


def fit_success_rates(counts: Counts) -> SuccessRates:
    """A distribution of success rates with no shape given beforehand, drawn towards the fitted Beta.

    Weights on a grid of rates that maximise the marginal likelihood of the counts (the nonparametric
    mixing distribution of Kiefer and Wolfowitz 1956, by EM as in Laird 1978) times a Dirichlet prior
    centred on the fitted Beta, which counts as SMOOTHING problems (Ferguson 1973). A Beta alone cannot
    be both peaks of a task with easy and hard problems; no Beta at all would put every unsolved problem
    at rate 0.
    """
    rates, edges = _grid(counts.n_max)
    beta = np.diff(stats.beta.cdf(edges, *fit_beta(counts)))
    start = 0.999 * beta / beta.sum() + 0.001 / rates.size  # no rate is impossible
    pairs, copies = np.unique(np.stack([counts.n, counts.correct]), axis=1, return_counts=True)
    likelihood = _likelihood(Counts(pairs[0], pairs[1], counts.stop_r, counts.n_max), rates)
    weights = start
    for _ in range(EM_STEPS):
        weights = weights * ((copies / (likelihood @ weights)) @ likelihood) + SMOOTHING * start
        weights /= len(counts) + SMOOTHING
    return SuccessRates(rates, weights)


def rate_grid(n_max: int) -> NDArray[np.float64]:
    """[G]: success rates from 0 to 1, close enough to tell apart whatever n_max samples can."""
    return _grid(n_max)[0]


def _grid(n_max: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rates [G]: 0, 1, and between them evenly in logits, past what n_max samples can tell from 0 or 1;
    and the G + 1 edges of their cells."""
    end = -logit(1e-3 / n_max)
    logits = np.linspace(-end, end, 2 * int(np.ceil(end / SPACING)) + 1)
    middles = np.concatenate([[-end - SPACING / 2], (logits[1:] + logits[:-1]) / 2, [end + SPACING / 2]])
    return np.concatenate([[0.0], expit(logits), [1.0]]), np.concatenate([[0.0], expit(middles), [1.0]])


def _likelihood(counts: Counts, rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """[P, G], each row up to a factor, so that none underflows."""
    logs = log_likelihood(counts, rates).T
    return np.asarray(np.exp(logs - logs.max(axis=1, keepdims=True)))
