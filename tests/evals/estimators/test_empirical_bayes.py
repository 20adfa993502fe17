"""The fitted distribution of success rates, against scipy and against rates that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats
from scipy.special import expit, logit, softmax

from evals.estimators.counts import Counts
from evals.estimators.empirical_bayes import SMOOTHING, SuccessRates, fit_beta, fit_success_rates


def test_beta_maximises_the_marginal_likelihood_of_scipy() -> None:
    rng = np.random.default_rng(0)
    n = rng.integers(20, 60, 80)
    counts = Counts(n, rng.binomial(n, rng.beta(0.4, 1.5, 80)))

    def loss(logs: np.ndarray) -> float:
        a, b = np.exp(logs)
        mean, size = a / (a + b), a + b
        # Uniform mean and size / (1 + size); densities of logit mean and log size.
        hyperprior = np.log(mean * (1 - mean)) + np.log(size / (1 + size) ** 2)
        return -float(stats.betabinom.logpmf(counts.correct, n, a, b).sum() + hyperprior)

    best = optimize.minimize(loss, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9})
    assert fit_beta(counts) == pytest.approx(tuple(np.exp(best.x)), rel=1e-3)


def test_beta_recovers_what_the_rates_were_drawn_from() -> None:
    rng = np.random.default_rng(1)
    fitted = fit_beta(Counts(128, rng.binomial(128, rng.beta(0.23, 2.06, 20_000))))
    assert fitted == pytest.approx((0.23, 2.06), rel=0.05)


def test_inverse_sampling_gives_the_same_beta_as_a_fixed_number() -> None:
    """The rule that ended sampling is no evidence of the rate: the likelihood is p^c (1-p)^(n-c)."""
    n, correct = [5, 9, 40, 40, 12], [3, 3, 1, 0, 3]
    assert fit_beta(Counts(n, correct)) == fit_beta(Counts(n, correct, stop_r=3, n_max=40))


@pytest.mark.parametrize("correct", [0, 64])
def test_equal_problems_leave_a_fit_that_is_finite_and_still_in_doubt(correct: int) -> None:
    counts = Counts(64, np.full(50, correct))
    a, b = fit_beta(counts)
    assert min(a, b) > 1e-4 and max(a, b) < 1e3
    at_64 = fit_success_rates(counts).posterior(counts).mean(axis=0) @ fit_success_rates(counts).pass_at_k(64)
    assert 0 < at_64 < 0.05 if correct == 0 else at_64 > 0.999


def test_posterior_by_hand() -> None:
    # Rates 1/2 and 1/4 with prior 1/4 and 3/4; 1 of 2: 1/4 * 1/4 against 3/4 * 3/16, so 4 : 9.
    posterior = SuccessRates(np.array([0.5, 0.25]), np.array([0.25, 0.75])).posterior(Counts(2, [1]))
    assert posterior[0] == pytest.approx([4 / 13, 9 / 13])


def test_weights_come_near_the_maximum_that_scipy_finds() -> None:
    """Of the log-likelihood plus SMOOTHING problems drawn from the fitted Beta, here with two rates."""
    rng = np.random.default_rng(2)
    counts = Counts(64, rng.binomial(64, np.where(rng.random(300) < 0.5, 0.01, 0.7)))
    fitted = fit_success_rates(counts)
    middles = (logit(fitted.rates[2:-1]) + logit(fitted.rates[1:-2])) / 2
    ends = [2 * middles[0] - middles[1], *middles, 2 * middles[-1] - middles[-2]]
    beta = np.diff(stats.beta.cdf([0, *expit(ends), 1], *fit_beta(counts)))
    prior = 0.999 * beta + 0.001 / beta.size
    chances = stats.binom.pmf(counts.correct[:, None], 64, fitted.rates)

    def objective(weights: np.ndarray) -> float:
        return float(np.log(chances @ weights).sum() + SMOOTHING * (prior @ np.log(weights)))

    def loss(logs: np.ndarray) -> tuple[float, np.ndarray]:
        weights = softmax(logs)
        slope = (chances / (chances @ weights)[:, None]).sum(axis=0) * weights + SMOOTHING * prior
        return -objective(weights), (300 + SMOOTHING) * weights - slope

    best = optimize.minimize(loss, np.log(prior), jac=True, method="L-BFGS-B", options={"maxiter": 2000})
    assert fitted.weights.sum() == pytest.approx(1)
    assert -best.fun - 0.1 < objective(fitted.weights) < -best.fun + 1e-3
    assert objective(prior) < -best.fun - 20


def test_two_peaks_are_seen_where_one_beta_cannot_have_them() -> None:
    rng = np.random.default_rng(3)
    hard_and_easy = np.concatenate([np.full(250, 0.004), rng.beta(8, 2, 250)])
    counts = Counts(256, rng.binomial(256, hard_and_easy))
    fitted = fit_success_rates(counts)
    a, b = fit_beta(counts)
    between = (fitted.rates > 0.05) & (fitted.rates < 0.2)
    assert fitted.weights[between].sum() < 0.02
    assert np.diff(stats.beta.cdf([0.05, 0.2], a, b))[0] > 0.1
