"""Numbers about one step's rollouts, for the records and the alarms."""

from __future__ import annotations

from rlvr.rollout import Collected
from rlvr.verifiers import Status


def rollout_metrics(collected: Collected) -> dict[str, float]:
    """Means over what one rank sampled, groups that are not trained on included.

    reward/*: the components of the reward. reward/bad: the share of completions for which a reward
    function gave no number.
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
    for name in scored[0].components:
        metrics[f"reward/{name}"] = sum(s.components[name] for s in scored) / len(scored)
    return metrics | ({"rollout/greedy_reward": sum(greedy) / len(greedy)} if greedy else {})


def _share(flags: list[bool]) -> float:
    return sum(flags) / len(flags)
