"""What the samples of a problem answered: majority votes, variety, and what guessing alone would reach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

# Shares of a majority's chance that are lost in its rounding, and need not be computed.
NEGLIGIBLE = 1e-20


@dataclass(frozen=True)
class Votes:
    """How the n samples of one problem voted.

    correct: samples that were right, as one answer, since each equals the reference whatever its notation.
    wrong: sizes of the groups of wrong samples with equal answers. silent: samples without an answer.
    """

    correct: int
    wrong: tuple[int, ...]
    silent: int

    @property
    def n(self) -> int:
        return self.correct + sum(self.wrong) + self.silent


def votes(extracted: Sequence[str | None], correct: Sequence[bool]) -> Votes:
    """Of one problem's samples: the answer found in each (None: none), and whether it was right."""
    pairs = list(zip(extracted, correct, strict=True))
    wrong = Counter(answer for answer, right in pairs if answer is not None and not right)
    silent = sum(answer is None and not right for answer, right in pairs)
    return Votes(sum(correct), tuple(sorted(wrong.values(), reverse=True)), silent)


def majority_at_k(ballot: Votes, k: int) -> float:
    """maj@k: the chance that the most frequent answer of k samples is right (arXiv 2203.11171, 2206.14858).

    The exact expectation over all subsets of k of the n samples. Samples without an answer do not vote;
    ties are broken by lot. Equal wrong answers in two notations count as two answers. The chance that the
    right one gets j votes and no other more is a coefficient of a product of one polynomial per answer;
    binomial weights at rate k / n in the place of binomial coefficients keep it within floating point.

    Raises ValueError for k outside 1..n.
    """
    if not 1 <= k <= ballot.n:
        raise ValueError(f"maj@{k} needs at least {k} samples of a problem, there are {ballot.n}")
    weights = cache(partial(_weights, rate=k / ballot.n))
    won = sum(
        weight * _no_answer_above(ballot, j, k - j, weights)
        for j, weight in enumerate(weights(ballot.correct)[: k + 1])
        if j and weight > NEGLIGIBLE
    )
    return float(won / weights(ballot.n)[k])


def _weights(size: int, rate: float) -> NDArray[np.float64]:
    """[size + 1]: of each number of samples that an answer given so often may have among the k."""
    return np.asarray(stats.binom.pmf(np.arange(size + 1), size, rate))


def _no_answer_above(
    ballot: Votes, most: int, others: int, weights: Callable[[int], NDArray[np.float64]]
) -> float:
    """The weight of all ways in which the samples that are not right give `others` of the k, no answer
    more than `most` times; of ways with t answers at `most`, 1 / (t + 1), the share of lots that we win."""
    capped = [size for size in ballot.wrong if most <= min(size, others)]
    free = weights(ballot.n - ballot.correct - sum(capped))[: others + 1]
    # [answers at `most`, samples given so far], with room at a row's end for what one answer adds
    ways: NDArray[np.float64] = np.zeros((others // most + 1, others + most))
    ways[0, : free.size] = free
    for size in capped:
        given = weights(size)
        flat = np.asarray(np.convolve(ways.ravel(), given[:most]), dtype=np.float64)
        added = flat[: ways.size].reshape(ways.shape)
        added[1:, most:] += given[most] * ways[:-1, :others]
        added[:, others + 1 :] = 0
        ways = added
    return float((ways[:, others] / np.arange(1, len(ways) + 1)).sum())


def unique_at_k(answers: Sequence[Hashable], k: int) -> float:
    """The expected number of different answers among k of the samples: rarefaction, Hurlbert 1971,
    the sum over answers of 1 - C(n - m, k) / C(n, k). None is no answer. k = n: simply their number.

    Unlike the number among all n it compares problems with different n. Raises ValueError for k outside 1..n.
    """
    if not 1 <= k <= len(answers):
        raise ValueError(f"unique answers of {k} samples: there are {len(answers)}")
    return float(stats.hypergeom.sf(0, len(answers), _sizes(answers), k).sum())


def answer_entropy(answers: Sequence[Hashable]) -> float:
    """Entropy in nats of the answers' shares (arXiv 2507.14843, answer-level entropy), 0 where there is none.

    Samples without an answer are left out. The plug-in estimate, biased downwards at small n: compare it
    at equal n.
    """
    sizes = _sizes(answers)
    return float(stats.entropy(sizes)) if sizes.size else 0.0


def duplicate_share(samples: Sequence[Hashable]) -> float:
    """The share of samples that an earlier sample of the same problem equals."""
    return 1 - len(set(samples)) / len(samples)


def pooled_guess_rates(
    answers: Sequence[Sequence[str | None]], right: Sequence[Collection[str]]
) -> NDArray[np.float64]:
    """[P]: how often an answer taken at random from the model's samples of all other problems is right.

    It measures what knowing the task, but not the problem, gives: where answers are few ("0", "yes"), much.
    answers: per problem, of its samples. right: per problem, the answers known to be right; without any the
    rate is 0. Raises ValueError for fewer than two problems.
    """
    if len(answers) < 2:
        raise ValueError("guessing from the other problems' answers needs at least two problems")
    pool = Counter(answer for given in answers for answer in given)
    drawn = sum(pool.values())
    rates = []
    for given, known in zip(answers, right, strict=True):
        own = Counter(given)
        hits = sum(pool[answer] - own[answer] for answer in set(known))
        rates.append(hits / (drawn - len(given)))
    return np.array(rates)


def chance_adjusted(pass_at_k: ArrayLike, guess_rate: ArrayLike, k: int) -> float | None:
    """(pass@k - guess@k) / (1 - guess@k): the share of what guessing leaves open that is solved.

    pass_at_k: [P]; guess_rate: [P] or one number, the chance that one guess is right, as 1 / m for a
    uniform choice among m answers, or `pooled_guess_rates`. guess@k = mean of 1 - (1 - rate)^k, k guesses
    with replacement. Both means are taken over problems before the quotient (Cohen's kappa, 1960, has this
    form): 0 at chance, negative below it; None where guessing solves everything.
    """
    solved = np.asarray(pass_at_k, dtype=np.float64)
    rate = np.broadcast_to(np.asarray(guess_rate, dtype=np.float64), solved.shape)
    if rate.min() < 0 or rate.max() > 1:
        raise ValueError("a guess rate lies in 0..1")
    missed = float(((1 - rate) ** k).mean())
    return 1 - float((1 - solved).mean()) / missed if missed > 0 else None


def _sizes(answers: Sequence[Hashable]) -> NDArray[np.int64]:
    return np.array(list(Counter(a for a in answers if a is not None).values()), dtype=np.int64)
