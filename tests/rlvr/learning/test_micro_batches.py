"""Micro-batches: every row once, within the budget, with little padding, in few passes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlvr.algorithms.batch import TokenBatch
from rlvr.learning.micro_batches import PASS_SHARE, packed_rows, padded_rows
from rlvr.learning.packing import PackedRows


def batch_of(prompts: list[int], completions: list[int], groups: list[int] | None = None) -> TokenBatch:
    """Rows of these lengths; the tokens are the row's number, so that a row can be told."""
    rows, width, depth = len(prompts), max(prompts), max(completions)
    return TokenBatch(
        tokens=torch.arange(rows)[:, None].expand(rows, width + depth),
        prompt_len=torch.tensor(prompts),
        completion_len=torch.tensor(completions),
        mask=torch.zeros(rows, depth),
        group=torch.tensor(groups or [0] * rows),
    )


def micro_batches(batch: TokenBatch, budget: int) -> list[TokenBatch]:
    return [batch.select(rows) for rows in padded_rows(batch, budget)]


def computed(pieces: list[TokenBatch]) -> int:
    """Tokens that go through the model, padding included."""
    return sum(piece.tokens.numel() for piece in pieces)


def log_normal(rng: np.random.Generator, median: int, sigma: float, count: int) -> list[int]:
    drawn = median * np.exp(sigma * rng.standard_normal(count))
    return np.clip(drawn.round(), 1, 8 * median).astype(int).tolist()


@pytest.mark.parametrize("sigma", [0.5, 0.8, 1.0])
@pytest.mark.parametrize(
    ("prompts", "group_size", "median", "budget"),
    [(64, 8, 600, 16384), (64, 8, 60, 2048), (16, 8, 200, 4096)],
)
def test_padding_is_under_15_percent(
    prompts: int, group_size: int, median: int, budget: int, sigma: float
) -> None:
    """Log-normal completions, and log-normal prompts a third as long."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        asked = np.repeat(log_normal(rng, max(1, median // 3), 0.4, prompts), group_size).tolist()
        drawn = log_normal(rng, median, sigma, prompts * group_size)
        pieces = micro_batches(batch_of(asked, drawn), budget)
        useful = sum(asked) + sum(drawn)
        assert 1 - useful / computed(pieces) < 0.15
        assert len(pieces) < 1.5 * useful / budget + 12


lengths = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=8)


@given(lengths, st.integers(1, 300))
def test_every_row_once_and_within_the_budget(rows: list[tuple[int, int]], budget: int) -> None:
    batch = batch_of([p for p, _ in rows], [c for _, c in rows])
    pieces = micro_batches(batch, budget)
    assert sorted(int(row[0]) for piece in pieces for row in piece.tokens) == list(range(len(rows)))
    for piece in pieces:
        assert piece.tokens.numel() <= budget or len(piece) == 1


@given(lengths, st.integers(1, 300))
def test_no_other_cut_of_the_sorted_rows_is_cheaper(rows: list[tuple[int, int]], budget: int) -> None:
    batch = batch_of([p for p, _ in rows], [c for _, c in rows])
    order = torch.cat(padded_rows(batch, budget)).tolist()
    assert order == sorted(order, key=lambda row: (-rows[row][1], -rows[row][0]))

    def cost(cuts: int) -> float:
        """Bit i of `cuts`: whether a cut follows the i-th row."""
        pieces, total = [[order[0]]], 0.0
        for place, row in enumerate(order[1:]):
            if cuts >> place & 1:
                pieces.append([])
            pieces[-1].append(row)
        for piece in pieces:
            tokens = len(piece) * (max(rows[r][0] for r in piece) + max(rows[r][1] for r in piece))
            if tokens > budget and len(piece) > 1:
                return float("inf")
            total += tokens + PASS_SHARE * budget
        return total

    pieces = micro_batches(batch, budget)
    cheapest = min(cost(cuts) for cuts in range(2 ** (len(rows) - 1)))
    assert computed(pieces) + len(pieces) * PASS_SHARE * budget == pytest.approx(cheapest)


grouped = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 40)), min_size=1, max_size=14)


def of_groups(rows: list[tuple[int, int]]) -> TokenBatch:
    """rows: (group, completion tokens); the prompt has 3 tokens more than the group's number."""
    return batch_of([3 + g for g, _ in rows], [max(n, 1) for _, n in rows], [g for g, _ in rows])


def packed_tokens(batch: TokenBatch, pieces: list[torch.Tensor]) -> list[int]:
    return [len(PackedRows(batch.select(rows)).tokens) for rows in pieces]


@given(grouped, st.integers(1, 120), st.integers(1, 9))
def test_packed_rows_once_within_the_budget_and_in_as_many_parts(
    rows: list[tuple[int, int]], budget: int, parts: int
) -> None:
    batch = of_groups(rows)
    pieces = packed_rows(batch, budget)
    assert sorted(torch.cat(pieces).tolist()) == list(range(len(rows)))
    for tokens, piece in zip(packed_tokens(batch, pieces), pieces, strict=True):
        assert tokens <= budget or len(piece) == 1
    asked = packed_rows(batch, budget, parts)
    assert len(asked) == max(len(pieces), min(parts, len(rows)))
    assert sorted(torch.cat(asked).tolist()) == list(range(len(rows)))
    assert max(packed_tokens(batch, asked)) <= max(packed_tokens(batch, pieces))


@pytest.mark.parametrize("sigma", [0.0, 0.8])
def test_packed_rows_are_few_and_of_equal_tokens(sigma: float) -> None:
    """64 groups of 8: few passes more than the tokens fill, few prompts twice, no pass far from the mean."""
    rng = np.random.default_rng(0)
    drawn = log_normal(rng, 600, sigma, 512)
    asked = np.repeat(log_normal(rng, 200, 0.4, 64), 8).tolist()
    batch = batch_of(asked, drawn, np.repeat(np.arange(64), 8).tolist())
    once = len(PackedRows(batch).tokens)
    for parts in (1, 40):
        pieces = packed_rows(batch, 16384, parts)
        tokens = np.array(packed_tokens(batch, pieces))
        assert len(pieces) <= max(parts, 1.1 * once / 16384 + 1)
        assert once <= tokens.sum() <= once + len(pieces) * max(asked)
        assert tokens.max() < 1.1 * tokens.mean()
