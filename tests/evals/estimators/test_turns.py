"""pass@(k, T) and what equal tokens buy, against enumeration of every choice of tries."""

from __future__ import annotations

from itertools import combinations
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.estimators.turns import TurnCounts, at_equal_tokens, mean_pass_at, turn_counts

TURNS = 4
# A sample: whether it ended right, and the tokens of each of its turns.
SAMPLE = st.tuples(st.booleans(), st.lists(st.integers(1, 9), min_size=1, max_size=TURNS))
PROBLEMS = st.lists(st.lists(SAMPLE, min_size=3, max_size=6), min_size=1, max_size=4)
Problem = list[tuple[bool, list[int]]]


def counted(problems: list[Problem]) -> TurnCounts:
    samples = [(place, *sample) for place, own in enumerate(problems) for sample in own]
    owner, right, lengths = zip(*samples, strict=True)
    return turn_counts(np.array(owner), len(problems), right, lengths, TURNS)


def solved(tries: tuple[tuple[bool, list[int]], ...], turns: int) -> bool:
    """Whether one of the tries ended right by its turn number `turns`."""
    return any(right and len(lengths) <= turns for right, lengths in tries)


def enumerated(own: Problem, k: int, turns: int) -> float:
    """The share of all choices of k tries in which one is right within so many turns."""
    choices = list(combinations(own, k))
    return sum(solved(tries, turns) for tries in choices) / len(choices)


@given(PROBLEMS, st.integers(1, 3), st.integers(1, TURNS))
def test_pass_at_k_and_turns_is_the_mean_over_all_choices(
    problems: list[Problem], k: int, turns: int
) -> None:
    exact = np.mean([enumerated(own, k, turns) for own in problems])
    found = mean_pass_at(counted(problems), k, turns)
    assert found.value == pytest.approx(exact, abs=1e-12)
    assert found.new_problems.low <= found.value <= found.new_problems.high


@given(PROBLEMS, st.floats(0.5, 30))
def test_equal_tokens_buy_what_all_choices_of_so_many_tries_give(
    problems: list[Problem], budget: float
) -> None:
    """So many tries that they have `budget` tokens on average over problems, where each T has its price."""
    for turns, found in enumerate(at_equal_tokens(counted(problems), budget), start=1):
        price = np.mean([np.mean([sum(lengths[:turns]) for _, lengths in own]) for own in problems])
        fewer = floor(budget / price)
        share = budget / price - fewer
        assert fewer * price * (1 - share) + (fewer + 1) * price * share == pytest.approx(budget)
        if fewer + (share > 0) > min(map(len, problems)):
            assert found is None
            continue
        assert found is not None and found.tries == pytest.approx(budget / price)
        parts = [(fewer, 1 - share), *([(fewer + 1, share)] if share else [])]
        exact = np.mean([sum(w * enumerated(own, k, turns) for k, w in parts if k) for own in problems])
        assert found.mean == pytest.approx(exact, abs=1e-9)
        assert found.interval.low <= found.mean <= found.interval.high


def test_counts_by_hand() -> None:
    """Two problems: one right at turns 1 and 3, one never."""
    problems: list[Problem] = [
        [(True, [2]), (False, [2, 2]), (True, [1, 3, 5])],
        [(False, [4]), (False, [4, 4]), (False, [4, 4, 4, 4])],
    ]
    counts = counted(problems)
    assert counts.correct.tolist() == [[1, 0], [1, 0], [2, 0], [2, 0]]
    assert counts.tokens.tolist() == [[5 / 3, 4], [10 / 3, 20 / 3], [5, 8], [5, 28 / 3]]
    assert mean_pass_at(counts, 2, 1).value == pytest.approx((2 / 3) / 2)  # in 2 of 3 pairs
    assert mean_pass_at(counts, 2, 3).value == pytest.approx(1 / 2)


def test_what_no_episodes_can_give_is_refused() -> None:
    three = np.array([3])
    with pytest.raises(ValueError, match="solve no less"):
        TurnCounts(three, np.array([[2], [1]]), np.array([[1.0], [2.0]]))
    with pytest.raises(ValueError, match=r"\[turns, problems\]"):
        TurnCounts(three, np.array([[2]]), np.array([[1.0], [2.0]]))
    with pytest.raises(ValueError, match="3 turns, the most are 2"):
        turn_counts(np.array([0]), 1, [True], [[1, 1, 1]], 2)
    with pytest.raises(ValueError, match="an episode had 1 to 2"):
        TurnCounts(three, np.array([[1], [1]]), np.array([[1.0], [2.0]])).within(3)
