"""One side of `packed_update.py`: does the step of each number that it reads, and prints what that took."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from workload import SHAPES, WORKLOADS, Workload, build_model

from rlvr.algorithms import ALGORITHMS
from rlvr.config import registry
from rlvr.config.schema import OptimConfig, PolicyConfig, RolloutConfig
from rlvr.engines import Completion
from rlvr.graders import Status, Verdict
from rlvr.learning.learner import Learner
from rlvr.learning.policy import Policy
from rlvr.rollouts.collect import Group, Scored, to_batch
from rlvr.tasks import Problem

OPTIONS = {"kl": {"coefficient": 0.01, "estimator": "k3", "paid": "loss"}}
RUNAWAYS = 100


def main(settings: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    shape, lengths = settings["name"].split(", ")
    kind = "fixed" if lengths == "fixed" else "log-normal"
    work = next(work for work in WORKLOADS if work.name == f"{shape}, {kind}")
    work = replace(work, prompt=settings["prompt"])
    model, reference = build_model(shape), build_model(shape)
    tokens = [0]

    def embedded(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...], __: Any) -> None:
        tokens[0] += inputs[0].numel()

    for one in (model, reference):
        one.get_input_embeddings().register_forward_hook(embedded)
    optim = OptimConfig(lr=1e-5, micro_batch_tokens=work.micro_batch_tokens)
    policy = PolicyConfig(gradient_checkpointing=settings["checkpointing"])
    algorithm = registry.build(ALGORITHMS, "grpo", registry.complete(ALGORITHMS, "grpo", OPTIONS))
    accelerator = Accelerator(cpu=True)
    trained = Policy(model, policy, optim, accelerator, 1.0, reference)
    rollouts = RolloutConfig(prompts=work.prompts, group_size=work.group_size, max_new_tokens=work.longest)
    learner = Learner(algorithm, trained, accelerator, optim, rollouts, seed=0)
    for line in sys.stdin:
        step = int(line)
        batch = to_batch(groups(work, step, lengths == "runaways"))
        tokens[0] = 0
        begun = time.process_time()
        scored = learner.score(batch)
        done = time.process_time()
        metrics, _ = learner.update(learner.credit(scored), step)
        ended = time.process_time()
        kept = {name: metrics[name] for name in ("loss/total", "loss/grad_norm", "rollout/entropy")}
        took = {"all": ended - begun, "score": done - begun, "update": ended - done, "tokens": tokens[0]}
        print(json.dumps({**took, "metrics": kept}), flush=True)


def groups(work: Workload, step: int, runaways: bool) -> list[Group]:
    """Random completions with the workload's lengths, a third of them right."""
    rng = np.random.default_rng([step, 2])
    vocabulary = SHAPES[work.shape]["vocab_size"]
    lengths = np.array(work.completion_lengths(step))
    if runaways:
        lengths[rng.random(len(lengths)) < 1 / RUNAWAYS] = 2 * work.longest
        lengths[rng.integers(len(lengths))] = 2 * work.longest  # one at least
    made = []
    for position, (prompt, own) in enumerate(
        zip(work.prompt_ids(step), lengths.reshape(work.prompts, -1).tolist(), strict=True)
    ):
        scored = []
        for length in own:
            right = bool(rng.random() < 1 / 3)
            verdict = Verdict(Status.CORRECT if right else Status.WRONG, None)
            ids = tuple(rng.integers(2, vocabulary, size=length).tolist())
            completion = Completion(ids, (-7.0,) * length, "", "stop")
            scored.append(Scored(completion, verdict, float(right)))
        made.append(Group(Problem(str(position), "", None), position, tuple(prompt), tuple(scored), None))
    return made


if __name__ in ("__main__", "side"):
    main(json.loads(sys.argv[1]))
