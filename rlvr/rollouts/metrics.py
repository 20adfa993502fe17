"""Numbers about rollouts, of one step and of a run so far, for the records and the alarms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from rlvr.graders import Status
from rlvr.rollouts.collect import Collected


@dataclass(frozen=True)
class Totals:
    """What a run has used up to a step, on all ranks and over every part of a resumed run.

    samples: completions drawn for training, greedy ones and those of dropped groups included. tokens: of
    these completions. seconds: that its steps took, without checkpoints and hooks.
    """

    samples: int = 0
    tokens: int = 0
    seconds: float = 0.0

    def plus(self, collected: Collected, seconds: float) -> Totals:
        """With one more step."""
        return Totals(
            self.samples + collected.samples, self.tokens + collected.tokens, self.seconds + seconds
        )

    def metrics(self) -> dict[str, float]:
        """Keyed total/*: axes over which every other metric can be drawn."""
        return {f"total/{name}": value for name, value in vars(self).items()}


def rollout_metrics(collected: Collected, checked: bool = False) -> dict[str, float]:
    """Means over what one rank sampled, groups that are not trained on included.

    checked: whether the task has a checker of reasoning; then rollout/unsound is the share of completions
    that are right after a wrong step, rollout/sound that of the other right ones. rollout/turns: of an
    episode, where there are any; rollout/failed: the share of those whose environment failed. reward/*: the
    components of the reward. reward/bad: the share of completions for which a reward function gave no number,
    or the environment failed.
    """
    groups = collected.sampled
    scored = [s for group in groups for s in group.scored]
    status = [s.verdict.status for s in scored]
    copies = [1 - len({s.completion.token_ids for s in g.scored}) / len(g.scored) for g in groups]
    greedy = [g.greedy.reward for g in groups if g.greedy]
    metrics = {
        "rollout/reward": sum(s.reward for s in scored) / len(scored),
        "rollout/correct": _share([s is Status.CORRECT for s in status]),
        "rollout/unparsed": _share([s is Status.UNPARSED for s in status]),
        "rollout/timed_out": _share([s is Status.TIMED_OUT for s in status]),
        "rollout/truncated": _share([s.completion.finish_reason == "length" for s in scored]),
        "rollout/length": sum(len(s.completion.token_ids) for s in scored) / len(scored),
        "rollout/zero_variance": _share([len({s.reward for s in g.scored}) == 1 for g in groups]),
        "rollout/duplicates": sum(copies) / len(copies),
        "rollout/used_share": len(collected.used) / len(groups),
        "reward/bad": _share([s.bad for s in scored]),
    }
    if turns := [len(s.completion.turns) for s in scored if s.completion.turns]:
        metrics["rollout/turns"] = sum(turns) / len(turns)
        metrics["rollout/failed"] = _share([s.completion.finish_reason == "failed" for s in scored])
    if checked:
        unsound = [s.verdict.correct and s.verdict.sound is False for s in scored]
        metrics["rollout/unsound"] = _share(unsound)
        metrics["rollout/sound"] = metrics["rollout/correct"] - metrics["rollout/unsound"]
    for name in scored[0].components:
        metrics[f"reward/{name}"] = sum(s.components[name] for s in scored) / len(scored)
    return metrics | ({"rollout/greedy_reward": sum(greedy) / len(greedy)} if greedy else {})


class Facts(NamedTuple):
    """What `spread_metrics` needs of each completion, [N] each."""

    rewards: Tensor
    """float64"""
    lengths: Tensor
    """tokens"""
    prompt_lengths: Tensor
    correct: Tensor
    """1 or 0"""
    task: Tensor
    """its place among the tasks of a mixture; 0 where there is one task"""


def facts(collected: Collected, tasks: Sequence[str]) -> Tensor:
    """[N, 5] float64 of one rank's completions, a column each of `Facts`. tasks: of a mixture, by name."""

    def owner(problem: str) -> int:
        """A name may begin as another does, and then the longer one is meant."""
        fits = [i for i, name in enumerate(tasks) if problem.startswith(f"{name}/")]
        return max(fits, key=lambda i: len(tasks[i]), default=0)

    rows = [
        (
            scored.reward,
            len(scored.completion.token_ids),
            len(group.prompt_ids),
            scored.verdict.correct,
            owner(group.problem.id),
        )
        for group in collected.sampled
        for scored in group.scored
    ]
    return torch.tensor(rows, dtype=torch.float64)


def spread_metrics(table: Tensor, tasks: Sequence[str]) -> dict[str, float]:
    """Spreads, and shares of a part, over the completions of all ranks: [N, 5] as `facts` gives them.

    Percentiles are numpy's, linear between ranks; what no completion has (a length of right ones where none
    is right, a task of which no problem came) is left out.
    """
    f = Facts(*table.unbind(1))
    metrics = {
        "rollout/reward_std": float(f.rewards.std(correction=0)),
        "rollout/prompt_length": float(f.prompt_lengths.mean()),
        **{f"rollout/length_p{p}": float(f.lengths.quantile(p / 100)) for p in (10, 50, 90)},
    }
    for name, own in (("right", f.correct > 0), ("wrong", f.correct == 0)):
        if own.any():
            metrics[f"rollout/length_{name}"] = float(f.lengths[own].mean())
    for i, name in enumerate(tasks):
        if (own := f.task == i).any():
            metrics[f"rollout/correct/{name}"] = float(f.correct[own].mean())
            metrics[f"rollout/reward/{name}"] = float(f.rewards[own].mean())
    return metrics


def _share(flags: list[bool]) -> float:
    return sum(flags) / len(flags)
