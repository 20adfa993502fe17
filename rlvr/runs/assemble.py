"""Builds every part of a run from its configuration, connects them, and trains."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, set_seed

from rlvr.algorithms import build_algorithm, departures
from rlvr.algorithms.bundle import Algorithm
from rlvr.config.errors import ConfigError
from rlvr.config.registry import PluginError, located
from rlvr.config.schema import Config
from rlvr.core.disk import told
from rlvr.core.errors import UserError
from rlvr.core.process.interrupts import StopSignal
from rlvr.core.run_dir import RunDir, read_jsonl, saved, write_record
from rlvr.core.seeds import derive_seed
from rlvr.core.shards import store_root
from rlvr.engines import Engine, EngineError
from rlvr.engines.sampler import Sampler, open_model
from rlvr.hooks import CheckpointHook, HookFactory, RunContext
from rlvr.hooks.loading import factories, longest_completion
from rlvr.learning.accelerator import make_accelerator, no_lost_process
from rlvr.learning.learner import Learner
from rlvr.learning.policy import Policy
from rlvr.models import loading as models
from rlvr.planning.checks import of_environments
from rlvr.rollouts.collect import Rollouts
from rlvr.rollouts.reward_functions import RewardFunction, load_functions
from rlvr.rollouts.rewards import RewardMix
from rlvr.runs.provenance import check_same_data, run_card
from rlvr.runs.resume import Start, find_start, mark_finished, prepare
from rlvr.runs.trainer import Trainer
from rlvr.tasks import Task, build_task
from rlvr.tasks.streams import problem_stream, shuffled
from rlvr.tracking.monitor import Monitor


def run(config: Config) -> bool:
    """Trains and probes; False if a signal stopped the run after saving.

    Raises Interrupted if the signal came outside a step, and a UserError for what the user can act on.
    """
    run_dir = RunDir(config.run_dir)
    places = [run_dir.path, store_root()]
    with told(lambda: places, lambda: f"Saved: {saved(run_dir)}."), no_lost_process():
        return _run(config, run_dir)


def _run(config: Config, run_dir: RunDir) -> bool:
    algorithm = build_algorithm(config.algorithm)
    functions = load_functions(config.rewards)
    with StopSignal().listening() as stop:
        accelerator = make_accelerator(config.policy, config.optim, algorithm.critic is not None)
        with run_dir.locked() if accelerator.is_main_process else nullcontext():
            start = _agree_on_start(config, run_dir, accelerator)
            monitor = Monitor(config, run_dir, accelerator.is_main_process)
            for reason in start.passed_over:
                monitor.print(f"passed over checkpoint {reason}")
            complete = start.finished
            try:
                if not complete:
                    if differing := departures(config.algorithm):
                        monitor.print(f"algorithm {config.algorithm.name} with {differing}")
                    run = _Assembly(config, run_dir, accelerator, algorithm, functions, monitor, start)
                    complete = run.trainer().train(run.directory, stop)
            finally:
                monitor.close()
            if complete and accelerator.is_main_process:
                mark_finished(config, run_dir)
                _print_end(config, run_dir, monitor)
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
class _Assembly:
    """One run as its parts are put together."""

    config: Config
    run_dir: RunDir
    accelerator: Accelerator
    algorithm: Algorithm
    functions: Sequence[RewardFunction]
    monitor: Monitor
    start: Start

    def __post_init__(self) -> None:
        config = self.config
        # First, so that bad data is found before a model is fetched.
        self.task = build_task(config.task.name, **config.task.options)
        if mistakes := of_environments(config, self.task):  # of a mixture, which is only known now
            raise ConfigError(f"recipe {config.recipe}", mistakes)
        self.hooked = [(factory, factory.tasks(config)) for factory in factories(config.hooks)]
        for factory, tasks in self.hooked:
            factory.check_tasks(config, self.task, tasks)
        self.model = self._opened(config.model)
        self.base = self._opened(config.base_model, self.model.tokenizer)
        self.teacher = None if config.teacher is None else self._opened(config.teacher)
        if self.teacher is not None:
            models.check_same_tokens(self.model.tokenizer, self.teacher.tokenizer, str(config.teacher))
        self.task = self.model.posed(self.task)
        self.hooked = [(factory, [self.model.posed(task) for task in own]) for factory, own in self.hooked]
        if config.rewards.control == "shuffled":
            self.task = shuffled(self.task, config.seed)
        if config.rewards.control is not None:
            self.monitor.print(f"a control: rewards are {config.rewards.control}, not what the answers earn")
        for note in dict.fromkeys(note for part in self.task.parts for note in part.notes):
            self.monitor.print(f"{self.task.name}: {note}")
        used = [*self.task.parts, *(task for _, own in self.hooked for task in own)]
        self.model.fit(used, longest_completion(config))
        self.base.longest = self.model.longest
        if self.accelerator.is_main_process:
            card = self._card()
            if self.start.checkpoint:
                check_same_data(self.run_dir.card, card)
            write_record(self.run_dir.card, card)

    @property
    def directory(self) -> Path:
        """Where the policy's weights are when the run begins."""
        return self.start.checkpoint.policy if self.start.checkpoint else self.model.path

    def trainer(self) -> Trainer:
        """The trainer, set to where the run begins."""
        config = self.config
        engine = self.model.build()
        policy = self._policy()
        trainer = Trainer(
            config=config,
            run_dir=self.run_dir,
            accelerator=self.accelerator,
            policy=policy,
            learner=Learner(
                self.algorithm, policy, self.accelerator, config.optim, config.rollouts, config.seed
            ),
            engine=engine,
            rollouts=Rollouts(
                engine=engine,
                task=self.task,
                tokenizer=self.model.tokenizer,
                config=config.rollouts,
                rewards=self._rewards(),
                draws=self.algorithm.draws,
                accelerator=self.accelerator,
                seed=config.seed,
            ),
            stream=problem_stream(self.task, config.seed),
            monitor=self.monitor,
            hooks=self._hooks(),
            run_id=self.start.run,
        )
        if self.start.checkpoint:
            trainer.restore(self.start.checkpoint)
            self.monitor.print(f"going on after step {trainer.step} of {config.steps}")
        return trainer

    def _opened(self, name: str, tokenizer: Any = None) -> Sampler:
        place = self.run_dir.exchange
        return open_model(name, self.config.engine, self.accelerator.device, tokenizer, place)

    def _card(self) -> dict[str, Any]:
        tasks = {"training": self.task.parts, **{factory.name: own for factory, own in self.hooked}}
        used = {"model": self.model, "base": self.base}
        used |= {} if self.teacher is None else {"teacher": self.teacher}
        settings = {name: model.settings for name, model in used.items()}
        return {"run": self.start.run, **run_card(self.config, used, tasks), "settings": settings}

    def _hooks(self) -> dict[str, CheckpointHook]:
        """The hooks by name, those with nothing to do left out."""
        paths = ["built-in"] * (len(self.hooked) - len(self.config.hooks)) + list(self.config.hooks)
        built = {
            factory.name or path.partition(":")[0].rpartition(".")[2]: self._hook(factory, tasks, path)
            for path, (factory, tasks) in zip(paths, self.hooked, strict=True)
        }
        return {name: hook for name, hook in built.items() if hook is not None}

    def _hook(self, factory: HookFactory, tasks: Sequence[Task], path: str) -> CheckpointHook | None:
        context = RunContext(
            config=self.config,
            run_dir=self.run_dir,
            console=self.monitor.console,
            tokenizer=self.model.tokenizer,
            tasks=tasks,
            model=self.model.path,
            base=self.base.path,
            open_engine=self._second_engine,
            begins_after=self.start.checkpoint.step if self.start.checkpoint else 0,
        )
        try:
            return factory(context)
        except UserError:
            raise
        except Exception as error:
            if path not in self.config.hooks:
                raise
            raise PluginError(f"hook {path} failed: {located(error)}") from error

    def _rewards(self) -> RewardMix:
        """What completions are worth; each process keeps its own evidence."""
        evidence = self.run_dir.evidence / f"rewards-rank{self.accelerator.process_index}.jsonl"
        limit = self.config.rollouts.max_new_tokens
        config, kept = self.config, partial(saved, self.run_dir)
        return RewardMix(config.rewards, self.functions, limit, evidence, kept, config.seed)

    def _policy(self) -> Policy:
        """The policy with what its algorithm asks for: a reference if the KL coefficient is > 0, a critic."""
        config = self.config.policy
        saved = self.start.checkpoint.policy if self.start.checkpoint else None
        set_seed(derive_seed(self.config.seed, "policy") % 2**32)  # fresh adapters are random
        # With sharded weights a GPU need not hold the whole model: the shards are taken from host memory.
        device = None if config.shards_weights else self.accelerator.device
        model, adapters = models.load_policy(self.model.path, config, saved, device)
        reference = None
        if self.algorithm.kl.coefficient > 0 and adapters is None:
            reference = models.load_model(self.model.path, models.weights_dtype(config), device=device)
        teacher = None
        if self.teacher is not None:
            dtype = models.weights_dtype(config)
            teacher = models.load_model(self.teacher.path, dtype, device=device)
        return Policy(
            model,
            config,
            self.config.optim,
            self.accelerator,
            self.config.rollouts.temperature,
            reference,
            self.algorithm.critic,
            adapters,
            self.config.updates,
            teacher,
        )

    def _second_engine(self, weights: Path) -> Engine:
        """An engine for other weights, beside the live one."""
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
        second = self._opened(str(weights), self.model.tokenizer)
        second.longest = self.model.longest
        return second.build()


def _print_end(config: Config, run_dir: RunDir, monitor: Monitor) -> None:
    reached = max((row["step"] for row in read_jsonl(run_dir.metrics, "step", once=["step"])), default=0)
    for factory in factories(config.hooks):
        for shown in factory.closing(run_dir):
            monitor.print(shown)
    monitor.print(f"finished: {reached} steps. In {run_dir.path}:")
    monitor.print("  checkpoints/   the policy in Hugging Face format")
    monitor.print("  probe.jsonl    what the tables show")
    monitor.print("  probes/        every sample with its verdict")
    monitor.print("  metrics.jsonl  one line per step")
    monitor.print("  config.json, card.json  what the run was made with")
