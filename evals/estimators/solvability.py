"""Which problems each side solves, and what an unsolved problem says: arXiv 2504.13837, solvable sets."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import betaln

from evals.estimators.counts import Counts


class Outcome(StrEnum):
    """Who solved a problem at least once: the policy alone, the base alone, both, neither."""

    GAINED = "gained"
    LOST = "lost"
    BOTH = "both"
    NEITHER = "neither"


class Ledger(NamedTuple):
    """How many problems each side solved at least once: policy only, base only, both, neither."""

    gained: int
    lost: int
    both: int
    neither: int


class ExpectedLedger(NamedTuple):
    """How many problems each side is expected to solve in k draws: policy only, base only, both, neither."""

    gained: float
    lost: float
    both: float
    neither: float


class Support(NamedTuple):
    """Retention, discovery, their harmonic mean, net change; None where a denominator is 0."""

    srr: float | None
    ndr: float | None
    sds: float | None
    nscr: float | None


def outcomes(base_correct: ArrayLike, correct: ArrayLike) -> list[Outcome]:
    """One a problem; base_correct, correct: [P] successes in equally many draws (see `equal_draws`)."""
    base, policy = np.asarray(base_correct) > 0, np.asarray(correct) > 0
    names = {
        (False, True): Outcome.GAINED,
        (True, False): Outcome.LOST,
        (True, True): Outcome.BOTH,
        (False, False): Outcome.NEITHER,
    }
    return [names[bool(b), bool(p)] for b, p in zip(base, policy, strict=True)]


def ledger(base_correct: ArrayLike, correct: ArrayLike) -> Ledger:
    """Counts of problems; compare only counts of equally many draws (see `equal_draws`)."""
    found = outcomes(base_correct, correct)
    return Ledger(*(found.count(Outcome(name)) for name in Ledger._fields))


def equal_draws(base: Counts, policy: Counts) -> bool:
    """Whether every problem was tried as often by both, so that their ledger compares k = n with k = n.

    A problem that is sampled until its r-th success counts as tried n_max times: whether it is solved in
    n_max draws is known when it stops.
    """
    return bool(np.array_equal(_draws(base), _draws(policy)))


def expected_ledger(base: Counts, policy: Counts, k: int) -> ExpectedLedger:
    """The ledger to expect from k draws of each side, unbiased: given the problem, the draws of the two
    sides are independent, so both solve it with chance pass@k times pass@k.

    Raises ValueError for k above what either can estimate. At k = n it is the ledger itself.
    """
    solves_base, solves = base.pass_at_k(k), policy.pass_at_k(k)
    return ExpectedLedger(
        gained=float(((1 - solves_base) * solves).sum()),
        lost=float((solves_base * (1 - solves)).sum()),
        both=float((solves_base * solves).sum()),
        neither=float(((1 - solves_base) * (1 - solves)).sum()),
    )


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided exact p-value that a problem changes sides as often either way: McNemar 1947, in the
    binomial form over the gained + lost discordant problems. 1 where there are none."""
    discordant = gained + lost
    return float(stats.binomtest(gained, discordant).pvalue) if discordant else 1.0


def rate_bound(n: int, correct: int = 0, level: float = 0.95, a: float = 1.0, b: float = 1.0) -> float:
    """Upper posterior bound of a problem's success probability after `correct` of n draws.

    a, b: its Beta prior, uniform by default; then 0 of n gives 1 - (1 - level)^(1 / (n + 1)). A prior
    that was fitted to all of the task's problems makes it an empirical-Bayes bound.
    """
    return float(stats.beta.ppf(level, a + correct, b + n - correct))


def chance_to_solve(n: int, draws: int, correct: int = 0, a: float = 1.0, b: float = 1.0) -> float:
    """Posterior predictive chance of a success in so many further draws, after `correct` of n.

    a, b: as in `rate_bound`. 1 - E[(1 - p)^draws] = 1 - B(a + c, b + n - c + draws) / B(a + c, b + n - c);
    with the uniform prior and c = 0: draws / (n + 1 + draws).
    """
    successes, failures = a + correct, b + n - correct
    return float(-np.expm1(betaln(successes, failures + draws) - betaln(successes, failures)))


def support(counts: Ledger) -> Support:
    """Support dynamics, arXiv 2507.14843, definition 3.3, over problems: P = both, E = gained, S = lost.

    SRR = P / (P + S): what is kept of the base's. NDR = E / (P + E): what of the policy's is new.
    SDS = 2 SRR NDR / (SRR + NDR) = 2 P E / (P^2 + 2 P E + E S). NSCR = (E - S) / (P + E + S).
    """
    kept, new, gone = counts.both, counts.gained, counts.lost
    return Support(
        srr=_ratio(kept, kept + gone),
        ndr=_ratio(new, kept + new),
        sds=_ratio(2 * kept * new, kept**2 + 2 * kept * new + new * gone),
        nscr=_ratio(new - gone, kept + new + gone),
    )


def _draws(counts: Counts) -> np.ndarray:
    return counts.n if counts.stop_r is None else np.full(len(counts), counts.n_max)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
