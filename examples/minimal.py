"""GRPO on countdown in one file, with the library's own parts: read this first.

    python examples/minimal.py
    python examples/minimal.py --steps 20 --prompts 16 --seed 1

It pretrains a tiny model once (a few minutes), then trains it to reach a number with three others. What
`rlvr/train.py` adds to these lines: recipes, other algorithms (reference model, critic, several updates per
batch), many processes and GPUs, checkpoints that a run resumes from, and the probe of what was learned.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import torch

from rlvr.algorithms.batch import ReadyBatch, WeightedBatch
from rlvr.algorithms.formulas.advantages import group_normalised
from rlvr.algorithms.formulas.normalisation import sequence_mean
from rlvr.algorithms.formulas.policy_loss import ppo_clip
from rlvr.algorithms.formulas.ratio import ratio
from rlvr.core.seeds import derive_seed
from rlvr.engines import Engine, Request, Sampling, generate
from rlvr.engines.hf import HFEngine
from rlvr.learning.actor_critic import ActorCritic
from rlvr.models.loading import eos_ids, load_model, load_tokenizer, model_directory
from rlvr.rollouts.collect import Group, Scored, to_batch
from rlvr.tasks import Problem, Task, build_task
from rlvr.tasks.streams import problem_stream

GROUP_SIZE = 8
SAMPLING = Sampling(temperature=1.0, top_p=1.0, max_new_tokens=64)
MICRO_BATCH_TOKENS = 16384


def sample_groups(
    engine: Engine, tokenizer: Any, task: Task, problems: Sequence[tuple[int, Problem]], seed: int
) -> list[Group]:
    """GROUP_SIZE graded completions of each (position, problem)."""
    prompts = [tuple(tokenizer.encode(problem.prompt)) for _, problem in problems]
    requests = [
        Request(prompt, SAMPLING, derive_seed(seed, "rollout", position, problem.id, i))
        for (position, problem), prompt in zip(problems, prompts, strict=True)
        for i in range(GROUP_SIZE)
    ]
    done = dict(generate(engine, requests))  # by the index of the request; they come as they are ready
    completions = [done[i] for i in range(len(requests))]
    references = [problem.reference for _, problem in problems for _ in range(GROUP_SIZE)]
    verdicts = task.verifier.grade([(c.text, r) for c, r in zip(completions, references, strict=True)])
    scored = [Scored(c, v, reward=float(v.correct)) for c, v in zip(completions, verdicts, strict=True)]
    return [
        Group(problem, position, prompt, tuple(scored[i * GROUP_SIZE : (i + 1) * GROUP_SIZE]))
        for i, ((position, problem), prompt) in enumerate(zip(problems, prompts, strict=True))
    ]


def credit(batch: ReadyBatch) -> WeightedBatch:
    """GRPO's advantages and each token's weight in the loss, arXiv 2402.03300, eq. 3; stage by stage."""
    scored = batch.with_scores(
        old_logprobs=None,  # one update per batch: the ratio is 1, and only its gradient matters
        ref_logprobs=None,  # no KL
        kl_rewards=torch.zeros_like(batch.mask),
        values=None,  # no critic
    )
    advantages = group_normalised(batch.rewards, batch.group)[:, None] * batch.mask
    credited = scored.with_credit(advantages=advantages, returns=None)
    return credited.with_weights(sequence_mean(batch.mask, completions=len(batch)))


def update(policy: ActorCritic, optimizer: torch.optim.Optimizer, batch: WeightedBatch) -> float:
    """One optimizer step; returns the loss. The weights make it independent of the micro-batches."""
    total = 0.0
    for piece in map(batch.select, policy.micro_batches(batch, MICRO_BATCH_TOKENS)):
        logprobs = policy(piece).logprobs
        per_token = ppo_clip(ratio(logprobs, piece.old_logprobs), piece.advantages)
        loss = (piece.weights * per_token).sum()
        loss.backward()
        total += loss.item()
    torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return total


def train(model: str, steps: int, prompts: int, lr: float, seed: int) -> ActorCritic:
    """Trains on `prompts` problems per step; prints each step's mean reward."""
    directory = model_directory(model)
    tokenizer = load_tokenizer(directory)
    task = build_task("countdown:3")
    stream = problem_stream(task, seed)
    policy = ActorCritic(load_model(directory, "float32"), temperature=SAMPLING.temperature)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=lr, betas=(0.9, 0.95), weight_decay=0.0)
    engine = HFEngine(load_model(directory, "float32"), tokenizer, eos_ids(directory, tokenizer))
    for step in range(1, steps + 1):
        groups = sample_groups(engine, tokenizer, task, stream.take(prompts), seed)
        batch = to_batch(groups)
        loss = update(policy, optimizer, credit(batch))
        engine.load(policy.policy.named_parameters())
        print(f"step {step}: reward {batch.rewards.mean():.3f}, loss {loss:+.4f}", flush=True)
    return policy


def main(arguments: Sequence[str] | None = None) -> ActorCritic:
    parser = argparse.ArgumentParser(description="GRPO on countdown")
    parser.add_argument("--model", default="embedded:countdown", help="a directory, a hub id or embedded:...")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--prompts", type=int, default=32, help="problems per step")
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    return train(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
