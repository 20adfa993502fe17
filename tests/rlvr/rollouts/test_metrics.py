"""Spreads over the completions of a step, by hand and against numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import toy_groups

from rlvr.rollouts.collect import Collected, Group
from rlvr.rollouts.metrics import facts, spread_metrics
from rlvr.tasks import Problem

TASKS = ["sums", "sums/hard"]


def collected(groups: list[Group]) -> Collected:
    return Collected(sampled=tuple(groups), used=(), samples=0, tokens=0, draws=1)


def of_task(group: Group, problem: str) -> Group:
    return replace(group, problem=Problem(problem, "", None))


def test_spreads_are_those_of_all_ranks() -> None:
    groups = toy_groups(6, 5)
    ranks = torch.cat([facts(collected(groups[i::2]), []) for i in range(2)])
    found = spread_metrics(ranks, [])
    scored = [(g, s) for g in groups for s in g.scored]
    lengths = np.array([len(s.completion.token_ids) for _, s in scored])
    right = np.array([s.verdict.correct for _, s in scored])
    assert found == pytest.approx(
        {
            "rollout/reward_std": np.std([s.reward for _, s in scored]),
            "rollout/prompt_length": np.mean([len(g.prompt_ids) for g, _ in scored]),
            **{f"rollout/length_p{p}": np.percentile(lengths, p) for p in (10, 50, 90)},
            "rollout/length_right": lengths[right].mean(),
            "rollout/length_wrong": lengths[~right].mean(),
        },
        rel=1e-12,
    )


def test_each_task_of_a_mixture_by_itself() -> None:
    one, other = toy_groups(2, 4)
    table = facts(collected([of_task(one, "sums/1"), of_task(other, "sums/hard/7")]), TASKS)
    found = spread_metrics(table, TASKS)
    for group, name in ((one, "sums"), (other, "sums/hard")):
        assert found[f"rollout/correct/{name}"] == np.mean([s.verdict.correct for s in group.scored])
        assert found[f"rollout/reward/{name}"] == np.mean([s.reward for s in group.scored])


def test_what_no_completion_has_is_left_out() -> None:
    groups = [of_task(toy_groups(1, 4)[0], "sums/1")]
    table = facts(collected(groups), ["sums", "other"])
    table[:, 3] = 0
    found = spread_metrics(table, ["sums", "other"])
    assert "rollout/length_right" not in found and "rollout/correct/other" not in found
    assert found["rollout/correct/sums"] == 0
