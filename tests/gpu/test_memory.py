"""What a training step really takes against what --dry-run says, on either device."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor
from toys import shaped_model

from rlvr.algorithms import build_algorithm
from rlvr.config.schema import Config, PolicyConfig, Shape
from rlvr.engines import Completion
from rlvr.graders import Status, Verdict
from rlvr.learning import chunked_logprobs
from rlvr.learning.learner import Learner
from rlvr.learning.policy import Policy
from rlvr.models.loading import load_model, load_policy, weights_dtype
from rlvr.planning.memory import GIB, HEAD_CHUNK, estimate
from rlvr.planning.recipe import load_config
from rlvr.rollouts.collect import Group, Scored, to_batch
from rlvr.tasks import Problem

if TYPE_CHECKING:
    from rlvr.algorithms.batch import ReadyBatch

# The peak lies within this factor of the estimate, which leaves out prompts and what adapters add.
FACTOR = 1.25
SHAPES = {
    "cpu": Shape(layers=4, hidden=256, intermediate=1024, heads=4, kv_heads=2, head_dim=64, vocab=2048),
    "cuda": Shape(layers=12, hidden=1024, intermediate=4096, heads=16, kv_heads=4, head_dim=64, vocab=65536),
}
PROMPT, GROUPS, GROUP_SIZE = 16, 4, 4
COMPLETION = {"cpu": 48, "cuda": 240}  # tokens
CASES = [
    ["policy.dtype=float32"],
    ["policy.dtype=bfloat16"],
    ["policy.dtype=float32", "policy.gradient_checkpointing=true"],
    ["policy.dtype=float32", "algorithm.kl.coefficient=0.1"],
    ["policy.dtype=bfloat16", "policy.lora.rank=8"],
    ["policy.dtype=bfloat16", "policy.lora.rank=8", "policy.lora.quantized=true"],
]


def configured(device: torch.device, *arguments: str) -> Config:
    """Two micro-batches a step."""
    shape = SHAPES[device.type]
    numbers = ",".join(f"{key}: {str(value).lower()}" for key, value in shape.model_dump().items())
    length = COMPLETION[device.type]
    return load_config(
        [
            "recipe=grpo_tiny", f"policy.shape={{{numbers}}}", f"rollouts.max_new_tokens={length}",
            f"optim.micro_batch_tokens={GROUPS * GROUP_SIZE * (PROMPT + length) // 2}", *arguments,
        ]
    )  # fmt: skip


def batch_of(device: torch.device) -> ReadyBatch:
    """Random completions of full length, half of each group right."""
    rng, length = random.Random(0), COMPLETION[device.type]

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(rng.randrange(SHAPES[device.type].vocab) for _ in range(count))

    groups = []
    for position in range(GROUPS):
        scored = [
            Scored(Completion(tokens(length), (0.0,) * length, "", "stop"), Verdict(status, value), value)
            for status, value in [(Status.CORRECT, 1.0), (Status.WRONG, 0.0)] * (GROUP_SIZE // 2)
        ]
        groups.append(Group(Problem(str(position), "", None), position, tokens(PROMPT), tuple(scored)))
    return to_batch(groups, device)


def learner_of(config: Config, directory: Path, accelerator: Accelerator) -> Learner:
    """As rlvr.runs.assemble builds it."""
    algorithm = build_algorithm(config.algorithm)
    model, adapters = load_policy(directory, config.policy)
    reference = None
    if algorithm.kl.coefficient > 0:
        reference = load_model(directory, weights_dtype(config.policy))
    policy = Policy(
        model, config.policy, config.optim, accelerator, 1.0, reference, algorithm.critic, adapters
    )
    return Learner(algorithm, policy, accelerator, config.optim, config.rollouts, seed=0)


def size(tensors: Iterable[Tensor]) -> int:
    """Bytes."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def held(policy: Policy) -> int:
    """Bytes that stay from step to step."""
    states = policy.parallel.optimizer.state.values()  # type: ignore[attr-defined]
    frozen = [] if policy.reference is None else policy.plain.policy.parameters()  # as large as the policy
    return size([*policy.plain.parameters(), *frozen, *(x for state in states for x in state.values())])


def peak_on_a_cpu(step: Callable[[], object], already: int) -> int:
    """Bytes: what is held already, and the most that the profiler saw allocated and not yet freed."""
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profiled:
        step()
    events = [e for e in profiled.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = most = already
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


def peak_on_a_gpu(step: Callable[[], object], others: int) -> int:
    """Bytes of tensors, without those that others hold and without what the allocator keeps for later."""
    torch.cuda.reset_peak_memory_stats()
    step()
    return torch.cuda.max_memory_allocated() - others


@pytest.mark.parametrize("arguments", CASES, ids=", ".join)
def test_the_peak_of_a_step_is_near_the_estimate(
    arguments: list[str],
    device: torch.device,
    accelerator: Callable[[PolicyConfig], Accelerator],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "policy.lora.quantized=true" in arguments:
        if device.type == "cpu":
            pytest.skip("needs an NVIDIA GPU: 4-bit weights are held on one alone")
        pytest.importorskip("bitsandbytes", reason="needs bitsandbytes (make install-gpu)")
    shape = SHAPES[device.type]
    # As many logits at once as there are of a vocabulary of today's size.
    monkeypatch.setattr(chunked_logprobs, "CHUNK_ELEMENTS", HEAD_CHUNK * shape.vocab)
    config = configured(device, *arguments)
    shaped_model(shape).save_pretrained(tmp_path)
    gc.collect()  # what earlier tests left on the GPU
    others = 0 if device.type == "cpu" else torch.cuda.memory_allocated()
    learner, batch = learner_of(config, tmp_path, accelerator(config.policy)), batch_of(device)

    def step() -> None:
        _, skipped = learner.update(learner.credit(learner.score(batch)), 1)
        assert not skipped

    step()  # the optimizer's states are made
    on_cpu = device.type == "cpu"
    peak = peak_on_a_cpu(step, held(learner.policy)) if on_cpu else peak_on_a_gpu(step, others)
    memory = estimate(config, shape, processes=1)
    ratio = peak / GIB / (memory.states + memory.activations)
    print(f"{', '.join(arguments)}: peak {peak / GIB:.3f} GiB, {ratio:.2f} of the estimate")
    assert 1 / FACTOR < ratio < FACTOR
