"""Groups dealt over ranks: about equal tokens, none lost, none more than a rank had."""

from __future__ import annotations

import numpy as np
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st
from toys import toy_groups

from rlvr.rollouts.balance import balanced, dealt


def totals(tokens: list[list[int]]) -> list[int]:
    return [sum(tokens[rank][at] for rank, at in own) for own in dealt(tokens)]


def test_by_hand() -> None:
    """1000 and 200 differ by 800: the swap of 500 and 100 leaves none; then nobody moves."""
    assert dealt([[500, 100, 400], [100, 50, 50]]) == [[(1, 0), (0, 1), (0, 2)], [(0, 0), (1, 1), (1, 2)]]
    assert dealt([[5, 5], [5, 5]]) == [[(0, 0), (0, 1)], [(1, 0), (1, 1)]]
    assert dealt([[9], []]) == [[(0, 0)], []]


@given(st.lists(st.lists(st.integers(1, 1000), max_size=6), min_size=1, max_size=5))
def test_every_group_once_and_never_further_apart(tokens: list[list[int]]) -> None:
    held = dealt(tokens)
    assert [len(own) for own in held] == [len(own) for own in tokens]
    assert sorted(place for own in held for place in own) == [
        (rank, at) for rank, own in enumerate(tokens) for at in range(len(own))
    ]
    before, after = [sum(own) for own in tokens], totals(tokens)
    assert max(after) <= max(before) and min(after) >= min(before)


def test_log_normal_groups_end_close() -> None:
    """Eight ranks with 32 groups of eight completions, whose lengths hang together within a group."""
    rng = np.random.default_rng(0)
    lengths = 600 * np.exp(0.4 * rng.standard_normal((8, 32, 1)) + 0.7 * rng.standard_normal((8, 32, 8)))
    tokens = lengths.sum(2).astype(int).tolist()
    assert max(map(sum, tokens)) > 1.05 * np.mean([sum(own) for own in tokens])
    assert max(totals(tokens)) < 1.01 * np.mean(totals(tokens))


def test_one_process_keeps_its_groups() -> None:
    groups = toy_groups()
    assert balanced(groups, Accelerator(cpu=True)) == groups
