"""Problems that several ranks share: each is drawn by one, and a rank that is done takes over."""

from __future__ import annotations

import random

import pytest
import torch.distributed as dist

from evals.sampling.shares import Shares


@pytest.mark.parametrize("seed", range(5))
def test_every_problem_is_drawn_once_however_fast_each_rank_is(seed: int) -> None:
    chance, claims = random.Random(seed), dist.HashStore()
    ranks = [Shares(rank, 3) for rank in range(3)]
    for shares in ranks:
        shares.claims = claims
    expected = [chance.random() for _ in range(40)]
    running = {rank: shares.of(40, expected) for rank, shares in enumerate(ranks)}
    drawn: dict[int, list[int]] = {rank: [] for rank in running}
    while running:
        rank = chance.choices([*running], [(1, 3, 9)[rank] for rank in running])[0]
        if (problem := next(running[rank], None)) is None:
            del running[rank]
        else:
            drawn[rank].append(problem)
    assert sorted(p for own in drawn.values() for p in own) == [*range(40)]
    own = [problem for problem in drawn[2] if problem % 3 == 2]
    assert len(drawn[2]) > len(own) and own == sorted(own, key=lambda problem: expected[problem])
    assert drawn[2][: len(own)] == own


def test_without_a_place_to_meet_every_rank_keeps_to_its_share() -> None:
    drawn = [[*Shares(rank, 2).of(5, [0.0] * 5)] for rank in range(2)]
    assert drawn == [[0, 2, 4], [1, 3]]


def test_the_longest_are_drawn_first() -> None:
    assert [*Shares().of(4, [-3.0, -9.0, 0.0, -5.0])] == [1, 3, 0, 2]
