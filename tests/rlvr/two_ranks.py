"""Run by torchrun: one training step of every algorithm on this rank's groups; rank 0 saves the gradients."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from toys import learn, toy_algorithm, toy_groups, toy_learner, toy_model

from rlvr.algorithms import ALGORITHMS
from rlvr.rollout import to_batch


def main(target: str) -> None:
    accelerator = Accelerator(
        cpu=True,
        kwargs_handlers=[
            InitProcessGroupKwargs(backend="gloo"), DistributedDataParallelKwargs(find_unused_parameters=True)
        ],
    )  # fmt: skip
    rank, ranks = accelerator.process_index, accelerator.num_processes
    found = {}
    for name in ALGORITHMS:
        options = {"k": 2} if name == "passk" else {}
        algorithm = toy_algorithm(name, kl={"coefficient": 0.1}, **options)
        learner = toy_learner(algorithm, toy_model(), accelerator, toy_model(1), micro_batch_tokens=60)
        found[name] = learn(learner, to_batch(toy_groups()[rank::ranks]))
    if accelerator.is_main_process:
        torch.save(found, target)
    accelerator.wait_for_everyone()


if __name__ == "__main__":
    main(sys.argv[1])
