"""A training step of rlvr for `against_trl.py`: the stages of `rlvr.runs.trainer`, with given lengths."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from workload import SHAPES, Meter, Workload, build_model, build_tokenizer, is_correct, words

from rlvr.algorithms import ALGORITHMS
from rlvr.config import registry
from rlvr.config.schema import EngineConfig, OptimConfig, PolicyConfig, RewardConfig, RolloutConfig
from rlvr.engines import Completion, Engine, Request, generate
from rlvr.engines.hf import HFEngine
from rlvr.engines.streams import BatchStream
from rlvr.graders import Status, StringVerifier
from rlvr.learning.learner import Learner
from rlvr.learning.policy import Policy
from rlvr.rollouts.collect import Rollouts, to_batch
from rlvr.rollouts.rewards import RewardMix
from rlvr.tasks import Problem, Task
from rlvr.tasks.streams import Stream

# GRPO as TRL has it by default: token mean ("dapo"), eps 1e-4, no KL.
OPTIONS = {"eps": 1e-4, "normalisation": "token_mean", "kl": {"coefficient": 0.0}}


class ForcedLengths:
    """An engine whose i-th completion has lengths[i] tokens; `replay`: tokens that are returned as drawn."""

    def __init__(self, engine: Engine, meter: Meter):
        self.engine = engine
        self.meter = meter
        self.name, self.dtype = engine.name, engine.dtype
        self.lengths: list[int] = []
        self.replay: list[list[int]] | None = None

    def stream(self) -> BatchStream:
        return BatchStream(self._complete, 1)

    def _complete(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        with self.meter.measured("generation"):
            if self.replay is None:
                done = list(generate(self.engine, [self._cut(r, n) for r, n in self._with_lengths(requests)]))
            else:
                done = list(enumerate(map(self._replayed, self.replay)))
        yield from done

    def load(self, weights: Any) -> None:
        self.engine.load(weights)

    def _replayed(self, ids: list[int]) -> Completion:
        text = self.engine.tokenizer.decode(ids, skip_special_tokens=True)
        return Completion(tuple(ids), (0.0,) * len(ids), text, "length")

    def _with_lengths(self, requests: Sequence[Request]) -> Iterator[tuple[Request, int]]:
        return zip(requests, self.lengths, strict=True)

    def _cut(self, request: Request, length: int) -> Request:
        return replace(request, sampling=replace(request.sampling, max_new_tokens=length))


class Given(Stream):
    """A problem stream that gives the problems it was told to give."""

    problems: Sequence[Problem] = ()

    def following(self) -> Problem:
        return self.problems[self.position % len(self.problems)]


class OurStep:
    """Calling it with a step's number does that step. `gradient` is kept as long as `keep_gradient` holds.

    vllm: a directory with the model, for generation by vLLM.
    """

    def __init__(self, work: Workload, lr: float, vllm: Path | None = None):
        self.work = work
        self.meter = Meter()
        model, tokenizer = build_model(work.shape), build_tokenizer(SHAPES[work.shape]["vocab_size"])
        self.accelerator = Accelerator(cpu=True)
        if vllm is None:
            own: Any = HFEngine(build_model(work.shape), tokenizer, eos_ids=(), batch_size=work.rows)
            self.meter.count(own.model)
        else:
            from rlvr.engines.vllm import VLLMEngine

            config = EngineConfig(name="vllm", batch_size=work.rows)
            own = VLLMEngine(vllm, tokenizer, (), config, 4 * work.prompt + work.longest)
        self.engine = ForcedLengths(own, self.meter)
        algorithm = registry.build(ALGORITHMS, "grpo", registry.complete(ALGORITHMS, "grpo", OPTIONS))
        optim = OptimConfig(lr=lr, micro_batch_tokens=work.micro_batch_tokens)
        rollouts = RolloutConfig(
            prompts=work.prompts, group_size=work.group_size, max_new_tokens=work.longest
        )
        self.policy = Policy(model, PolicyConfig(), optim, self.accelerator, rollouts.temperature)
        self.learner = Learner(algorithm, self.policy, self.accelerator, optim, rollouts, seed=0)
        verifier = StringVerifier(lambda text, _: (self._verdict(text), None), "1")
        self.rollouts = Rollouts(
            self.engine, Task("benchmark", [], [], verifier, ""), tokenizer, rollouts,
            RewardMix(RewardConfig(), [], work.longest, Path(os.devnull)), algorithm.draws, self.accelerator,
            seed=0,
        )  # fmt: skip
        self.stream = Given(0)
        self.keep_gradient = True
        self.policy.parallel.optimizer.optimizer.register_step_pre_hook(self._keep)
        self.meter.count(model)

    def __call__(self, step: int) -> dict[str, float]:
        """The step's metrics."""
        ids = self.work.prompt_ids(step)
        self.stream.step, self.stream.position = step, step * len(ids)
        self.stream.problems = [Problem(f"{step}/{i}", words(prompt), None) for i, prompt in enumerate(ids)]
        self.engine.lengths = self.work.completion_lengths(step)
        with self.meter.measured("scoring"):
            collected = self.rollouts.collect(self.stream)
            batch = self.learner.score(to_batch(collected.used, self.accelerator.device))
            batch = self.learner.credit(batch)
        with self.meter.measured("update"):
            metrics, _ = self.learner.update(batch, step)
            self.engine.load(self.policy.weights())
        return metrics

    def _keep(self, *_: Any) -> None:
        """Keeps the gradient that the optimizer is about to use."""
        if self.keep_gradient:
            named = self.policy.plain.policy.named_parameters()
            self.gradient = {name: p.grad.clone() for name, p in named if p.grad is not None}

    def _verdict(self, text: str) -> Status:
        return Status.CORRECT if is_correct(text) else Status.WRONG
