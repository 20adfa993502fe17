"""Numbers about rollouts, of one step and of a run so far, for the records and the alarms."""

from __future__ import annotations

from dataclasses import dataclass

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


def _share(flags: list[bool]) -> float:
    return sum(flags) / len(flags)
