"""Every algorithm, and the variants that compute something else, in one training step on toy rollouts."""

from __future__ import annotations

from typing import Any

import torch
from toys import (
    learn,
    toy_algorithm,
    toy_learner,
    toy_model,
)

from rlvr.algorithms import ALGORITHMS
from rlvr.algorithms.batch import ReadyBatch

# Every algorithm, and the variants that compute something else.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {"k": 2} if name == "passk" else {}) for name in ALGORITHMS},
    "grpo with KL": ("grpo", {"kl": {"coefficient": 0.1}}),
    "grpo unlikeliness": ("grpo", {"unlikeliness": 0.25}),
    "grpo with entropy": ("grpo", {"entropy": {"coefficient": 0.1}}),
    "opd by samples": ("opd", {"over": "samples"}),
    "dapo by group": ("dapo", {"normalisation": "group_token_mean"}),
    "rloo with KL": ("rloo", {"kl": {"coefficient": 0.1}}),
    "remax with KL": ("remax", {"kl": {"coefficient": 0.1}}),
    "reinforce_pp with KL": ("reinforce_pp", {"kl": {"coefficient": 0.1}}),
    "reinforce_pp by completions": ("reinforce_pp", {"whitening": {"by": "completions"}}),
    "reinforce_pp baseline": (
        "reinforce_pp",
        {"baseline": True, "kl": {"coefficient": 0.1, "estimator": "k2", "paid": "loss"}},
    ),
    "rloo by step": ("rloo", {"credit": "steps", "gamma": 0.9}),
    "rloo_verl by step with KL": ("rloo_verl", {"credit": "steps", "kl": {"coefficient": 0.1}}),
    "reinforce_pp by step": ("reinforce_pp", {"credit": "steps"}),
    "ppo with KL": ("ppo", {"kl": {"coefficient": 0.1}, "lam": 0.95}),
    "ppo shared trunk": ("ppo", {"critic": {"trunk": "shared"}}),
}  # fmt: skip


def run(
    case: str, batch: ReadyBatch, padded: bool = False, **settings: Any
) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """One step of a case on a batch, from the same weights each time. padded: rows are not packed."""
    name, options = CASES[case]
    algorithm = toy_algorithm(name, **options)
    reference = toy_model(1, padded=padded) if algorithm.kl.coefficient else None
    learner = toy_learner(algorithm, toy_model(padded=padded), reference=reference, **settings)
    if learner.policy.plain.critic is not None:  # the zero head would hide the trunk's gradient
        torch.manual_seed(5)
        torch.nn.init.normal_(learner.policy.plain.critic.head.weight, std=0.2)
    return learn(learner, batch)


def uses_ratio(case: str) -> bool:
    """Whether several updates of a batch are possible."""
    name, options = CASES[case]
    loss = toy_algorithm(name, **options).policy_loss
    return loss is not None and loss.uses_ratio
