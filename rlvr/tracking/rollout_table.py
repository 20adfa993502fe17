"""Some of a step's rollouts to read, and how far apart engine and trainer are on each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rlvr.algorithms.batch import ScoredBatch
from rlvr.hooks import Table
from rlvr.learning.off_policy import difference
from rlvr.rollouts.collect import Group

# Completions that are shown: the first ones.
SHOWN = 64
COLUMNS = (
    "problem",
    "prompt",
    "completion",
    "verdict",
    "extracted",
    "reward",
    "logprob",
    "logprob_difference",
    "tokens",
)


def shown_rows(batch: ScoredBatch) -> ScoredBatch:
    """The part of a rank's batch that the table shows."""
    return batch.select(torch.arange(min(SHOWN, len(batch)), device=batch.group.device))


def rollout_table(groups: Sequence[Group], batch: ScoredBatch, logprobs: Tensor) -> Table:
    """The completions behind `shown_rows(batch)`, in the order of the groups.

    logprobs: [rows, T] by the trainer before the update. `logprob` is the engine's, summed over the
    completion; `logprob_difference` the mean over its trained tokens of |trainer's - engine's|.
    """
    share = batch.mask / batch.mask.sum(1, keepdim=True).clamp(min=1)
    apart = (share * difference(batch, logprobs).abs()).sum(1).tolist()
    scored = [(group.problem, scored) for group in groups for scored in group.scored]
    rows = [
        (
            problem.id,
            problem.prompt,
            each.completion.text,
            each.verdict.status,
            each.verdict.extracted,
            each.reward,
            sum(each.completion.logprobs),
            value,
            len(each.completion.token_ids),
        )
        for (problem, each), value in zip(scored[: len(apart)], apart, strict=True)
    ]
    return Table(COLUMNS, rows)
