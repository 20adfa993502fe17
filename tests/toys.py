"""A small random model and random rollouts, equal in every process that asks for them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from transformers import Qwen2Config, Qwen2ForCausalLM
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm

from rlvr.algorithms import ALGORITHMS
from rlvr.algorithms.batch import ReadyBatch, ScoredBatch
from rlvr.algorithms.bundle import Algorithm
from rlvr.config import registry
from rlvr.config.schema import OptimConfig, PolicyConfig, RolloutConfig, Shape
from rlvr.engines import Completion, Request
from rlvr.engines.streams import BatchStream
from rlvr.graders import Status, Verdict
from rlvr.learning.learner import Learner
from rlvr.learning.policy import Policy
from rlvr.rollouts.collect import Group, Scored, to_batch
from rlvr.tasks import Problem

VOCABULARY = 40
GREEDY_RIGHT = (True, False, False, True)


class Batched:
    """An engine of the tests: its method `generate` yields (index, completion) of a sequence of requests."""

    generate: Callable[[Sequence[Request]], Iterator[tuple[int, Completion]]]
    slots = 64

    def stream(self) -> BatchStream:
        return BatchStream(self.generate, self.slots)


def toy_model(seed: int = 0, dtype: torch.dtype = torch.float64, padded: bool = False) -> nn.Module:
    """A Qwen2 of two layers with random weights, large enough to make log-probs differ.

    padded: it says of itself that its tokens meet elsewhere too, so that its rows are not packed.
    """
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=128, tie_word_embeddings=True,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config).double().eval()  # equal numbers for every dtype
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, Qwen2RMSNorm):  # computes in float32, which would hide what float64 shows
                norm = nn.RMSNorm(config.hidden_size, child.variance_epsilon, dtype=torch.float64)
                setattr(module, name, norm)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    model._is_stateful = padded
    return model.to(dtype)


def shaped_model(shape: Shape) -> nn.Module:
    """A Qwen2 of that shape, with random weights."""
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=shape.vocab,
            hidden_size=shape.hidden,
            intermediate_size=shape.intermediate,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            tie_word_embeddings=shape.tied,
        )
    )


def toy_groups(groups: int = 4, size: int = 4, seed: int = 0) -> list[Group]:
    """Random completions of 1 to 9 tokens for prompts of 2 to 6, some right, some cut."""
    rng = random.Random(seed)
    made = []
    for position in range(groups):
        prompt = tuple(rng.randrange(2, VOCABULARY) for _ in range(rng.randint(2, 6)))
        scored = []
        for index in range(size):
            ids = tuple(rng.randrange(2, VOCABULARY) for _ in range(rng.randint(1, 9)))
            right = rng.random() < 0.4 or index == 0
            reason = "length" if rng.random() < 0.2 else "stop"
            logprobs = tuple(-3.5 + 0.2 * rng.random() for _ in ids)
            verdict = Verdict(Status.CORRECT if right else Status.WRONG, float(right))
            completion = Completion(ids, logprobs, "", reason)  # type: ignore[arg-type]
            given = tuple(-0.25 * (token % 3 == 0) for token in ids)  # a part of the reward
            scored.append(Scored(completion, verdict, float(right), token_rewards=given))
        greedy = Scored(scored[0].completion, scored[0].verdict, float(GREEDY_RIGHT[position % 4]))
        made.append(Group(Problem(str(position), "", None), position, prompt, tuple(scored), greedy))
    return made


def toy_algorithm(name: str, **options: Any) -> Algorithm:
    return registry.build(ALGORITHMS, name, registry.complete(ALGORITHMS, name, options))


def toy_learner(
    algorithm: Algorithm,
    model: nn.Module,
    accelerator: Accelerator | None = None,
    reference: nn.Module | None = None,
    temperature: float = 1.0,
    rollouts: RolloutConfig = RolloutConfig(max_new_tokens=9),  # noqa: B008
    settings: PolicyConfig = PolicyConfig(),  # noqa: B008
    **optim: Any,
) -> Learner:
    """A learner whose updates leave their gradient, unclipped, on the parameters."""
    accelerator = accelerator or Accelerator(cpu=True)
    optimizer = OptimConfig(**{"lr": 1e-9, "max_grad_norm": 1e9, "micro_batch_tokens": 10_000, **optim})
    teacher = None
    if algorithm.taught:
        teacher = toy_model(2, next(model.parameters()).dtype, padded=bool(getattr(model, "_is_stateful", 0)))
    policy = Policy(
        model,
        settings,
        optimizer,
        accelerator,
        temperature,
        reference,
        algorithm.critic,
        teacher=teacher,
    )
    return Learner(algorithm, policy, accelerator, optimizer, rollouts, seed=0)


def learn(
    learner: Learner,
    batch: ReadyBatch,
    step: int = 1,
    read: Callable[[nn.Module], dict[str, Tensor]] | None = None,
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """One training step on a batch: its metrics and the gradient of its last update, before clipping.

    read: gets the gradient of a model whose parameters do not hold it in whole.
    """
    found: dict[str, Tensor] = {}
    parallel = learner.policy.parallel
    take_step = parallel.step

    def watched(*args: Any) -> Any:
        found.clear()
        found.update((read or gradient)(parallel.plain))
        return take_step(*args)

    parallel.step = watched  # type: ignore[method-assign]
    metrics, _ = learner.update(learner.credit(learner.score(batch)), step)
    parallel.step = take_step  # type: ignore[method-assign]
    return metrics, found


def gradient(model: nn.Module) -> dict[str, Tensor]:
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def toy_batch(groups: list[Group] | None = None) -> ReadyBatch:
    return to_batch(groups or toy_groups())


def assert_equal_gradients(one: Mapping[str, Tensor], other: Mapping[str, Tensor], tolerance: float) -> None:
    """|g - g'| / |g| of every tensor; both sides have the same ones, and not all are zero."""
    assert one.keys() == other.keys()
    assert sum(float(g.norm()) for g in one.values()) > 0
    for name, g in one.items():
        distance = float((g - other[name]).norm()) / max(float(g.norm()), 1e-30)
        assert distance < tolerance or float((g - other[name]).norm()) < 1e-14, f"{name}: {distance}"


def unscored(batch: ReadyBatch, values: torch.Tensor | None = None) -> ScoredBatch:
    """The batch as it is credited after one update without KL."""
    zeros = torch.zeros_like(batch.mask)
    return batch.with_scores(old_logprobs=None, ref_logprobs=None, kl_rewards=zeros, values=values)


def byte_level_bpe(text: str, special: str) -> Any:
    """A tokenizer that has merged what comes often in the text, across words and lines."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator([text], trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet))
    core.add_special_tokens([AddedToken(special, special=True, normalized=False)])
    return PreTrainedTokenizerFast(tokenizer_object=core)
