"""What the contract asks every engine, and the trainer's own answer to it."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import torch
from served import random_model
from torch import Tensor
from transformers import Qwen2ForCausalLM

from rlvr.engines import Completion, Engine, Request, Sampling, generate
from rlvr.graders import Status, Verdict
from rlvr.learning.actor_critic import ActorCritic
from rlvr.rollouts.collect import Group, Scored, to_batch
from rlvr.tasks import Problem

KIND = os.environ.get("RLVR_CONTRACT", "hf")  # hf, vllm, server (takes weights as files) or server-nccl
DEVICE = torch.device(os.environ.get("RLVR_CONTRACT_DEVICE", "cpu"))
SERVER = KIND.startswith("server")
EOS = (7, 11)
PROMPTS = ((20, 21, 22, 23), (30, 31), tuple(range(40, 60)))
GREEDY = Sampling(temperature=0.0, max_new_tokens=12)


class Tolerance(NamedTuple):
    """How far an engine's log-probs may lie from the trainer's, and how many tokens its nucleus may differ.

    In float32 on a GPU vLLM's attention multiplies in TF32. Emulated on the CPU, with these models, that
    moves log-probs by 2e-3 on average and by 1e-2 at most, and one greedy choice in 600.
    """

    mean: float
    largest: float
    nucleus: int


NEAR = Tolerance(1e-4, 1e-3, 0) if DEVICE.type == "cpu" or KIND == "hf" else Tolerance(5e-3, 3e-2, 2)


def model_of(seed: int) -> Qwen2ForCausalLM:
    """What the trainer holds."""
    return random_model(seed).to(DEVICE)


def ask(engine: Engine, requests: list[Request]) -> list[Completion]:
    done = dict(generate(engine, requests))
    assert sorted(done) == list(range(len(requests)))
    return [done[i] for i in range(len(requests))]


def assert_greedy(model: Qwen2ForCausalLM, prompt: tuple[int, ...], completion: Completion) -> None:
    """Every token is the model's first choice after what precedes it, and the first end token is the last."""
    ids = completion.token_ids
    with torch.no_grad():
        logits = model(torch.tensor([prompt + ids], device=DEVICE)).logits[0, len(prompt) - 1 : -1]
    chosen = logits.gather(-1, torch.tensor(ids, device=DEVICE)[:, None])[:, 0]
    assert (logits.amax(-1) - chosen).max() <= NEAR.largest
    assert not set(ids[:-1]) & set(EOS)
    assert len(ids) == GREEDY.max_new_tokens or ids[-1] in EOS


def trainer_logprobs(
    model: Qwen2ForCausalLM, temperature: float, rows: list[tuple[Any, Completion]]
) -> Tensor:
    """[B, T] by the module that trains."""
    verdict = Verdict(Status.WRONG, 0.0)
    groups = [
        Group(Problem(str(i), "", None), i, prompt, (Scored(completion, verdict, 0.0),))
        for i, (prompt, completion) in enumerate(rows)
    ]
    batch = to_batch(groups, DEVICE)
    with torch.no_grad():
        return (ActorCritic(model, temperature)(batch).logprobs - batch.engine_logprobs).abs()[
            batch.mask.bool()
        ]
