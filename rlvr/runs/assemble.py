"""Builds every part of a run from its configuration, connects them, and trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, set_seed

from evals.probe.detached import DetachedProbe, pending
from evals.probe.hook import Base, Probe
from evals.records.gap_record import GapRecord
from evals.reports.gap_table import gap_table
from evals.sampling.instrument import Instrument
from rlvr.algorithms import build_algorithm
from rlvr.algorithms.bundle import Algorithm
from rlvr.config.errors import ConfigError, Mistake
from rlvr.config.schema import Config
from rlvr.core.interrupts import StopSignal
from rlvr.core.run_dir import RunDir, read_jsonl, write_json
from rlvr.core.seeds import derive_seed
from rlvr.engines import Engine, EngineError
from rlvr.engines.build import local_engine
from rlvr.hooks import CheckpointHook, load_hooks
from rlvr.learning.accelerator import make_accelerator
from rlvr.learning.learner import Learner
from rlvr.learning.policy import Policy
from rlvr.models import loading as models
from rlvr.rollouts.collect import Rollouts
from rlvr.rollouts.rewards import RewardFunction, RewardMix, load_functions
from rlvr.runs.provenance import run_card
from rlvr.runs.resume import Start, find_start, mark_finished, prepare
from rlvr.runs.trainer import Trainer
from rlvr.tasks import build_task, probed_task
from rlvr.tasks.streams import problem_stream
from rlvr.tracking.monitor import Monitor


def run(config: Config) -> bool:
    """Trains and probes; False if a signal stopped the run after saving.

    Raises Interrupted if the signal came outside a step, and ConfigError, RunDirError, CheckpointError,
    ModelError, TaskError, DrawsError, RewardError, StartError, EngineError or AlarmError, each with a message
    for people.
    """
    algorithm = build_algorithm(config.algorithm)
    hooks = load_hooks(config)
    functions = load_functions(config.rewards)
    with StopSignal().listening() as stop:
        accelerator = make_accelerator(config.policy, config.optim, algorithm.critic is not None)
        run_dir = RunDir(config.run_dir)
        with run_dir.locked() if accelerator.is_main_process else nullcontext():
            start = _agree_on_start(config, run_dir, accelerator)
            monitor = Monitor(config, run_dir, accelerator.is_main_process)
            for reason in start.passed_over:
                monitor.print(f"passed over checkpoint {reason}")
            complete = start.finished
            try:
                if not complete:
                    parts = _Parts(config, run_dir, accelerator, algorithm, functions, monitor)
                    complete = parts.trainer(start, hooks).train(parts.directory(start), stop)
            finally:
                monitor.close()
            if complete and accelerator.is_main_process:
                mark_finished(config, run_dir)
                _print_end(run_dir, monitor)
    return complete


def _agree_on_start(config: Config, run_dir: RunDir, accelerator: Accelerator) -> Start:
    """The main process decides where the run begins and prepares the directory; all ranks follow."""
    decided: list[Any] = [None]
    if accelerator.is_main_process:
        start = find_start(config, run_dir)
        if not start.finished:
            prepare(config, run_dir, start)
        decided = [start]
    return broadcast_object_list(decided)[0]


@dataclass
class _Parts:
    """What the parts of one run are built from."""

    config: Config
    run_dir: RunDir
    accelerator: Accelerator
    algorithm: Algorithm
    functions: Mapping[str, RewardFunction]
    monitor: Monitor

    def __post_init__(self) -> None:
        # First, so that bad data is found before a model is fetched.
        self.task = build_task(self.config.task.name, **self.config.task.options)
        self.probed = [probed_task(c) for c in self.config.probe.tasks]
        names = [task.name for task in self.probed]
        if twice := {name for name in names if names.count(name) > 1}:
            advice = "is one task under two names: give each task once"
            raise ConfigError("the probe", [Mistake("probe.tasks", ", ".join(sorted(twice)), advice)])
        self.model = models.model_directory(self.config.model)
        self.base = models.model_directory(self.config.base_model)
        self.tokenizer = models.load_tokenizer(self.model)

    def directory(self, start: Start) -> Path:
        """Where the policy's weights are when the run begins."""
        return start.checkpoint.policy if start.checkpoint else self.model

    def trainer(self, start: Start, hooks: Sequence[CheckpointHook]) -> Trainer:
        """The trainer, set to where the run begins."""
        tasks = [*self.task.parts, *self.probed]
        longest = max(self.config.rollouts.max_new_tokens, self.config.probe_max_new_tokens)
        self.longest = models.check_context(self.model, self.tokenizer, tasks, longest)
        if self.accelerator.is_main_process:
            write_json(self.run_dir.card, run_card(self.config, self.model, self.base, tasks))
        engine = self.engine(self.model)
        policy = self.policy(start)
        trainer = Trainer(
            config=self.config,
            run_dir=self.run_dir,
            accelerator=self.accelerator,
            policy=policy,
            learner=Learner(
                self.algorithm,
                policy,
                self.accelerator,
                self.config.optim,
                self.config.rollouts,
                self.config.seed,
            ),
            engine=engine,
            rollouts=Rollouts(
                engine=engine,
                task=self.task,
                tokenizer=self.tokenizer,
                config=self.config.rollouts,
                rewards=self.rewards(),
                draws=self.algorithm.draws,
                accelerator=self.accelerator,
                seed=self.config.seed,
            ),
            stream=problem_stream(self.task, self.config.seed),
            monitor=self.monitor,
            hooks=[*([self.probe()] if self.probed else []), *hooks],
        )
        if start.checkpoint:
            trainer.restore(start.checkpoint)
            self.monitor.print(f"going on after step {trainer.step} of {self.config.steps}")
        return trainer

    def rewards(self) -> RewardMix:
        """What completions are worth; each process keeps its own evidence."""
        evidence = self.run_dir.evidence / f"rewards-rank{self.accelerator.process_index}.jsonl"
        limit = self.config.rollouts.max_new_tokens
        return RewardMix(self.config.rewards, self.functions, limit, evidence)

    def policy(self, start: Start) -> Policy:
        """The policy with what its algorithm asks for: a reference where KL has a price, a critic."""
        config = self.config.policy
        saved = start.checkpoint.policy if start.checkpoint else None
        set_seed(derive_seed(self.config.seed, "policy") % 2**32)  # fresh adapters are random
        model, adapters = models.load_policy(self.model, config, saved)
        reference = None
        if self.algorithm.kl.coefficient > 0 and adapters is None:
            reference = models.load_model(self.model, models.weights_dtype(config))
        return Policy(
            model,
            config,
            self.config.optim,
            self.accelerator,
            self.config.rollouts.temperature,
            reference,
            self.algorithm.critic,
            adapters,
        )

    def engine(self, weights: Path) -> Engine:
        """An engine that holds the weights of a directory."""
        config = self.config.engine
        if config.mode == "server":
            from rlvr.engines.vllm_server import VLLMServerEngine

            names = [self.config.model, str(self.model), str(self.model.resolve())]
            eos = models.eos_ids(weights, self.tokenizer)
            return VLLMServerEngine(config, names, self.tokenizer, eos, self.longest, self.run_dir.exchange)
        return local_engine(weights, self.tokenizer, config, self.longest, self.accelerator.device)

    def base_engine(self) -> Engine:
        """An engine for the base alone, beside the live one."""
        if self.config.engine.mode == "server":
            raise EngineError(
                "the store lacks samples of the base, and the server holds the policy: measure the base with "
                "a run of its own in the same $RLVR_STORE, with engine.mode=colocate and steps=1"
            )
        if self.config.engine.name == "vllm" and torch.cuda.is_available():
            raise EngineError(
                "the store lacks samples of the base, and a process can have one vLLM engine on a GPU, which "
                "holds the policy: measure the base with a run of its own in the same $RLVR_STORE, with "
                "model= as base= here and steps=1"
            )
        return self.engine(self.base)

    def probe(self) -> CheckpointHook:
        """The checkpoint hook that measures the gap, or leaves that to others."""
        config, console = self.config.probe, self.monitor.console
        if config.mode == "detached":
            return DetachedProbe(self.config, self.run_dir, console)
        return Probe(
            instrument=Instrument(config, self.tokenizer, self.config.probe_max_new_tokens, console),
            tasks=self.probed,
            run_dir=self.run_dir,
            base=Base(self.base, self.base_engine),
            save_every=self.config.save_every,
        )


def _print_end(run_dir: RunDir, monitor: Monitor) -> None:
    records = [GapRecord(**row) for row in read_jsonl(run_dir.probe)]
    reached = max((row["step"] for row in read_jsonl(run_dir.metrics)), default=0)
    if records:
        monitor.print(gap_table(records))
    if waiting := len(pending(run_dir)):
        monitor.print(f"{waiting} checkpoint(s) wait for: python -m evals probe run={run_dir.path}")
    monitor.print(f"finished: {reached} steps. In {run_dir.path}:")
    monitor.print("  checkpoints/   the policy in Hugging Face format")
    monitor.print("  probe.jsonl    what the tables show")
    monitor.print("  probes/        every sample with its verdict")
    monitor.print("  metrics.jsonl  one line a step")
    monitor.print("  config.json, card.json  what the run was made with")
