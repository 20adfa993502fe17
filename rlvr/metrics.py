"""Numbers about one rollout batch, for the records and the alarms."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from rlvr.batch import Batch
from rlvr.rollout import Group
from rlvr.verifiers import Status


def rollout_metrics(groups: Sequence[Group]) -> dict[str, float]:
    """Means over one rank's completions, and shares of its groups, keyed rollout/*."""
    scored = [s for group in groups for s in group.scored]

    def share(flags: list[bool]) -> float:
        return sum(flags) / len(flags)

    copies = [1 - len({s.completion.token_ids for s in g.scored}) / len(g.scored) for g in groups]
    status = [s.verdict.status for s in scored]
    return {
        "rollout/reward": sum(s.reward for s in scored) / len(scored),
        "rollout/correct": share([s is Status.CORRECT for s in status]),
        "rollout/unparsed": share([s is Status.UNPARSED for s in status]),
        "rollout/timed_out": share([s is Status.TIMED_OUT for s in status]),
        "rollout/truncated": share([s.completion.finish_reason == "length" for s in scored]),
        "rollout/length": sum(len(s.completion.token_ids) for s in scored) / len(scored),
        "rollout/zero_variance": share([len({s.reward for s in g.scored}) == 1 for g in groups]),
        "rollout/duplicates": sum(copies) / len(copies),
    }


def mismatch_metrics(logprobs: Tensor, batch: Batch, share: Tensor) -> dict[str, Tensor]:
    """How far the engine's log-probs lie from the trainer's, keyed mismatch/*.

    share: [B, T], each trained token's share of 1.
    """
    difference = logprobs.detach() - batch.engine_logprobs
    return {"mismatch/mean": (share * difference.abs()).sum()}
