"""Majority votes, variety of answers and guessing: by hand and over all subsets of the samples."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from evals.estimators.answers import (
    Votes,
    answer_entropy,
    chance_adjusted,
    duplicate_share,
    majority_at_k,
    pooled_guess_rates,
    unique_at_k,
    votes,
)


def majority_by_enumeration(ballot: Votes, k: int) -> float:
    """Every subset of k samples votes; None is no answer, 0 the right one."""
    samples: list[int | None] = [0] * ballot.correct + [None] * ballot.silent
    for answer, size in enumerate(ballot.wrong, start=1):
        samples += [answer] * size
    won = []
    for subset in itertools.combinations(samples, k):
        counts = Counter(answer for answer in subset if answer is not None)
        best = [a for a, c in counts.items() if c == max(counts.values())]
        won.append(best.count(0) / len(best) if best else 0.0)
    return float(np.mean(won))


@pytest.mark.parametrize(
    "ballot",
    [
        Votes(3, (2, 2, 1), 2),
        Votes(2, (2, 2, 2), 0),
        Votes(1, (1, 1, 1, 1, 1), 3),
        Votes(5, (4,), 1),
        Votes(0, (3, 1), 2),
        Votes(6, (), 0),
        Votes(2, (), 5),
    ],
)
def test_the_majority_over_all_subsets(ballot: Votes) -> None:
    for k in range(1, ballot.n + 1):
        assert majority_at_k(ballot, k) == pytest.approx(majority_by_enumeration(ballot, k), abs=1e-12)


def test_the_majority_of_one_is_pass_at_1() -> None:
    assert majority_at_k(Votes(3, (4, 1), 2), 1) == pytest.approx(0.3)


def test_the_majority_of_all_samples_is_one_vote() -> None:
    assert majority_at_k(Votes(300, (299, 201), 224), 1024) == pytest.approx(1.0)
    assert majority_at_k(Votes(300, (300, 300), 124), 1024) == pytest.approx(1 / 3)
    assert majority_at_k(Votes(299, (300,), 425), 1024) == pytest.approx(0.0)


def test_the_majority_of_many_agrees_with_a_simulation() -> None:
    ballot, k = Votes(70, (60, 50, *[3] * 10), 46), 64
    labels = np.repeat(np.arange(14), [70, 60, 50, *[3] * 10, 46])
    rng = np.random.default_rng(0)
    draws = np.stack([rng.choice(labels, k, replace=False) for _ in range(20_000)])
    counts = np.stack([(draws == answer).sum(axis=1) for answer in range(13)], axis=1)
    top = counts == counts.max(axis=1, keepdims=True)
    won = top[:, 0] / top.sum(axis=1)
    assert majority_at_k(ballot, k) == pytest.approx(won.mean(), abs=4 * won.std() / 20_000**0.5)


def test_votes_join_right_answers_whatever_their_notation() -> None:
    extracted = ["1/2", "0.5", "2", None, "2", "3", None]
    correct = [True, True, False, False, False, False, False]
    assert votes(extracted, correct) == Votes(2, (2, 1), 2)


@pytest.mark.parametrize("k", [0, 8])
def test_a_majority_of_more_than_there_are_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match="there are 7"):
        majority_at_k(Votes(3, (2,), 2), k)
    with pytest.raises(ValueError, match="there are 7"):
        unique_at_k(["a"] * 7, k)


def test_unique_answers_over_all_subsets() -> None:
    answers = ["a", "a", "b", None, "c", "b", "a"]
    for k in range(1, 8):
        found = [len({*subset} - {None}) for subset in itertools.combinations(answers, k)]
        assert unique_at_k(answers, k) == pytest.approx(np.mean(found))
    assert unique_at_k(answers, 7) == 3
    assert unique_at_k([None, None], 1) == 0


def test_entropy_by_hand() -> None:
    assert answer_entropy(["a", "a", "b", "c", None]) == pytest.approx(1.5 * np.log(2))
    assert answer_entropy(["a", "a"]) == answer_entropy([None]) == 0


def test_duplicates_are_what_an_earlier_sample_equals() -> None:
    assert duplicate_share([(1, 2), (1, 2), (3,), (1, 2)]) == pytest.approx(0.5)


def test_guesses_come_from_the_other_problems_alone() -> None:
    # "0" is given 3 times among the 4 samples of the other two problems, "1" once.
    answers = [["7", "0"], ["0", "1"], ["0", "0"]]
    rates = pooled_guess_rates(answers, [{"0"}, {"1"}, set()])
    assert rates.tolist() == [3 / 4, 0.0, 0.0]


def test_two_notations_of_a_right_answer_are_both_lucky_guesses() -> None:
    answers = [["x", None], ["1/2", "0.5"]]
    assert pooled_guess_rates(answers, [{"1/2", "0.5"}, {"y"}]).tolist() == [1.0, 0.0]


def test_guessing_needs_other_problems() -> None:
    with pytest.raises(ValueError, match="two problems"):
        pooled_guess_rates([["1"]], [{"1"}])


def test_chance_adjustment_by_hand() -> None:
    # two tries among four answers: guess@2 = 1 - 9/16 = 7/16; (mean 3/4 - 7/16) / (9/16) = 5/9
    assert chance_adjusted([1.0, 0.5], 1 / 4, 2) == pytest.approx(5 / 9)


def test_a_guesser_is_at_zero_and_worse_is_below() -> None:
    rates = np.array([0.5, 0.1])
    assert chance_adjusted(1 - (1 - rates) ** 8, rates, 8) == pytest.approx(0.0)
    below = chance_adjusted([0.0, 0.0], 0.5, 1)
    assert below is not None and below < 0


def test_nothing_is_left_where_guessing_solves_everything() -> None:
    assert chance_adjusted([1.0], 1.0, 4) is None
    with pytest.raises(ValueError, match="guess rate"):
        chance_adjusted([1.0], 1.5, 4)
