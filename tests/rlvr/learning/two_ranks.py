"""Run by every rank: one training step of each algorithm on this rank's groups; rank 0 saves the gradients.

Arguments: the file to write, the ZeRO stage, the algorithms; "NAME unequal": one rank has four times the rows
of the other, and each row is a pass. Other ranks swap groups first. "NAME reset": the reference is reset
after the step, saved, changed and read again; its distance from the policy is told.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch import Tensor, nn
from toys import gradient, learn, toy_algorithm, toy_groups, toy_learner, toy_model

from rlvr.algorithms.batch import TokenBatch
from rlvr.config.schema import OptimConfig, PolicyConfig
from rlvr.learning.accelerator import make_accelerator
from rlvr.learning.learner import Learner
from rlvr.rollouts.balance import balanced
from rlvr.rollouts.collect import Group, to_batch


def whole_gradient(model: nn.Module) -> dict[str, Tensor]:
    """The gradient of a model whose gradient is sharded."""
    from deepspeed.utils import safe_get_full_grad

    found = {name: safe_get_full_grad(parameter) for name, parameter in model.named_parameters()}
    return {name: value.clone() for name, value in found.items() if value is not None}


def unequal_groups() -> list[Group]:
    """Four rows for one rank and one for the other."""
    one, other = toy_groups(2)
    return [one, replace(other, scored=other.scored[:1])]


def distances(learner: Learner, batch: TokenBatch, place: Path) -> list[float]:
    """Of the reference from the policy: as it was given, after a reset, and changed and read again."""
    policy = learner.policy
    reference = policy.reference
    assert reference is not None

    def distance() -> float:
        apart = policy.scores(batch).logprobs - policy.ref_logprobs(batch)
        return float((apart * batch.mask).abs().max())

    told = [distance()]
    policy.reset_reference()
    told.append(distance())
    reference.save(place)
    learner.accelerator.wait_for_everyone()
    reference.become((name, value * 1.5) for name, value in policy.weights())
    told.append(distance())
    reference.restore(place)
    return [*told, distance()]


def main(target: str, zero: int, names: Sequence[str]) -> None:
    checkpointing = zero == 3  # as the recipes for GPUs have it
    settings = PolicyConfig(zero=zero, gradient_checkpointing=checkpointing)  # type: ignore[arg-type]
    accelerator = make_accelerator(settings, OptimConfig(max_grad_norm=1e9), has_critic=True)
    rank, ranks = accelerator.process_index, accelerator.num_processes
    dtype = torch.float32 if zero else torch.float64  # DeepSpeed knows no float64
    found = {}
    options = {"passk": {"k": 2}, "rloo_verl": {"credit": "steps"}, "reinforce_pp_verl": {"credit": "steps"}}
    for name in names:
        algorithm = toy_algorithm(name.split()[0], kl={"coefficient": 0.1}, **options.get(name, {}))
        alone = ranks == 1  # what packed rows on two ranks are held against
        models = toy_model(dtype=dtype, padded=alone), toy_model(1, dtype=dtype, padded=alone)
        unequal = name.endswith(" unequal")
        learner = toy_learner(
            algorithm,
            models[0],
            accelerator,
            models[1],
            settings=settings,
            micro_batch_tokens=1 if unequal else 60,
        )
        groups = (unequal_groups() if unequal else toy_groups())[rank::ranks]
        batch = to_batch(groups if unequal else balanced(groups, accelerator))
        found[name] = learn(learner, batch, read=whole_gradient if zero else gradient)
        assert found[name][0]["loss/skipped"] == 0.0
        if name.endswith(" reset"):
            found[name][0]["distances"] = distances(learner, batch, Path(target).parent)
    if accelerator.is_main_process:
        torch.save(found, target)
    accelerator.wait_for_everyone()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
