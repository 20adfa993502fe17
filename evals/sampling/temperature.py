"""The temperature at which one model's output entropy equals another's (arXiv 2504.13837, section 4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from rlvr.core.errors import UserError

# Steps of the search; with the tolerances in use it needs fewer than ten.
MOST_STEPS = 50


class BracketError(UserError):
    """No temperature in the bracket gives the entropy asked for; the message says how far it goes."""


class Match(NamedTuple):
    """temperature: where `entropy` was found, in nats per token. tried: every (temperature, entropy), in the
    order of the search."""

    temperature: float
    entropy: float
    tried: tuple[tuple[float, float], ...]


def match_temperature(
    entropy_at: Callable[[float], float],
    target: float,
    low: float,
    high: float,
    tolerance: float,
    resolution: float = 1e-3,
) -> Match:
    """The temperature between low and high at which the entropy is `target`.

    entropy_at: continuous, but for what sampling adds; it is called once a temperature. The search (Brent's)
    ends at a temperature whose entropy is within `tolerance` of the target, or, as an estimate need not come
    that close, when the bracket is narrower than `resolution`.

    Raises BracketError where low and high do not have the target between them.
    """
    tried: dict[float, float] = {}

    def above(temperature: float) -> float:
        """How far above the target; 0 where it is close enough, at which the search ends."""
        if temperature not in tried:
            tried[temperature] = entropy_at(temperature)
        distance = tried[temperature] - target
        return 0.0 if abs(distance) <= tolerance else distance

    ends = above(low), above(high)
    if ends[0] * ends[1] > 0:
        raise BracketError(
            f"the entropy is {tried[low]:.4f} nats per token at temperature {low:g} and {tried[high]:.4f} at "
            f"{high:g}; {target:.4f} is not between them: give another bracket"
        )
    found = float(brentq(above, low, high, xtol=resolution, maxiter=MOST_STEPS))
    above(found)
    return Match(found, tried[found], tuple(tried.items()))


def output_entropy(logprobs: ArrayLike, tokens: ArrayLike) -> float:
    """Mean entropy of the distributions that the tokens were sampled from, in nats per token.

    logprobs, tokens: [samples] the sum of each completion's log-probs under the distribution that was sampled
    from (after temperature and top-p), and how many tokens it has, the end-of-sequence token among them.

    Returns -sum(logprobs) / sum(tokens). Why: given what stands before it, a sampled token's expected
    -log p is the entropy H_t of the distribution that it came from. By the tower property the expected sum
    over a completion is E[sum_t H_t]; that a completion ends by itself or is cut changes nothing, as whether
    there is a t-th token is known before it is drawn. So numerator and denominator are unbiased for
    E[sum_t H_t] and E[T], and their ratio is consistent for the entropy of an average token, with a bias of
    the order of 1 / samples. Greedy completions do not qualify: they were not sampled.
    """
    sums, lengths = np.asarray(logprobs, dtype=np.float64), np.asarray(tokens, dtype=np.int64)
    if sums.shape != lengths.shape or sums.size == 0 or lengths.sum() == 0:
        raise ValueError("give a log-prob and a number of tokens for each of at least one completion")
    return float(-sums.sum() / lengths.sum())
