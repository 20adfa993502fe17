"""Builds every part of a run from its configuration, connects them, and trains."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list
from torch import nn

from evals.gap_record import GapRecord
from evals.probe import Probe
from evals.report import gap_table
from rlvr import builders, models
from rlvr.algorithm import Algorithm
from rlvr.algorithms import ALGORITHMS
from rlvr.card import run_card
from rlvr.config import Config
from rlvr.engines import Sampling
from rlvr.engines.hf import HFEngine
from rlvr.hooks import CheckpointHook, load_hooks
from rlvr.monitor import Monitor
from rlvr.policy import Policy
from rlvr.resume import Start, find_start, prepare
from rlvr.rollout import ProblemStream, Rollouts
from rlvr.run_dir import RunDir, read_jsonl, write_json
from rlvr.signals import StopSignal
from rlvr.tasks import Task, build_task
from rlvr.trainer import Trainer


def run(config: Config) -> bool:
    """Trains and probes; False if a signal stopped the run after saving.

    Raises ConfigError, RunDirError, CheckpointError, ModelError or AlarmError with a message for people.
    """
    hooks = load_hooks(config)
    with StopSignal().listening() as stop:
        accelerator = _accelerator()
        run_dir = RunDir(config.run_dir)
        with run_dir.locked() if accelerator.is_main_process else nullcontext():
            start = _agree_on_start(config, run_dir, accelerator)
            monitor = Monitor(config, run_dir, accelerator.is_main_process)
            for reason in start.passed_over:
                monitor.print(f"passed over checkpoint {reason}")
            complete = start.finished or _train(config, run_dir, accelerator, start, monitor, stop, hooks)
            monitor.close()
            if complete:
                _print_end(config, run_dir, monitor)
    return complete


def _accelerator() -> Accelerator:
    """Several processes without GPUs are told to use gloo: under DeepSpeed Accelerate would otherwise
    take each for the only one."""
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    if alone or torch.cuda.is_available():
        return Accelerator()
    return Accelerator(kwargs_handlers=[InitProcessGroupKwargs(backend="gloo")])


def _agree_on_start(config: Config, run_dir: RunDir, accelerator: Accelerator) -> Start:
    """The main process decides where the run begins and prepares the directory; all ranks follow."""
    decided: list[Any] = [None]
    if accelerator.is_main_process:
        start = find_start(config, run_dir)
        if not start.finished:
            prepare(config, run_dir, start)
        decided = [start]
    return broadcast_object_list(decided)[0]


def _train(
    config: Config,
    run_dir: RunDir,
    accelerator: Accelerator,
    start: Start,
    monitor: Monitor,
    stop: StopSignal,
    hooks: Sequence[CheckpointHook],
) -> bool:
    model_directory = models.model_directory(config.model)
    base_directory = models.model_directory(config.base_model)
    directory = start.checkpoint.policy if start.checkpoint else model_directory
    tokenizer = models.load_tokenizer(model_directory)
    task = build_task(config.task.name, **config.task.options)
    probed = [build_task(choice.name, **choice.options) for choice in config.probe.tasks]
    model = models.load_model(directory, config.policy.dtype)
    models.check_context(model.config, tokenizer, [task, *probed], config.longest_completion)
    if accelerator.is_main_process:
        write_json(run_dir.card, run_card(config, model_directory, base_directory, [task, *probed]))

    def new_engine(own: nn.Module, source: Path) -> HFEngine:
        eos = models.eos_ids(source, tokenizer)
        return HFEngine(own.to(accelerator.device), tokenizer, eos, config.engine.batch_size)

    engine = new_engine(models.load_model(directory, config.engine.dtype), model_directory)
    algorithm: Algorithm = builders.build(ALGORITHMS, config.algorithm.name, config.algorithm.options)
    reference = None
    if algorithm.kl.coefficient > 0:
        reference = models.load_model(model_directory, config.policy.dtype)
    rollouts = config.rollouts
    trainer = Trainer(
        config=config,
        run_dir=run_dir,
        accelerator=accelerator,
        algorithm=algorithm,
        policy=Policy(model, config.policy, config.optim, accelerator, rollouts.temperature, reference),
        engine=engine,
        rollouts=Rollouts(
            engine=engine,
            task=task,
            tokenizer=tokenizer,
            sampling=Sampling(rollouts.temperature, 1.0, rollouts.max_new_tokens),
            group_size=rollouts.group_size,
            rewards=config.rewards,
            seed=config.seed,
        ),
        stream=ProblemStream(task.train, config.seed),
        monitor=monitor,
        hooks=[*_probes(config, probed, tokenizer, run_dir, base_directory, new_engine, monitor), *hooks],
    )
    if start.checkpoint:
        trainer.restore(start.checkpoint)
        monitor.print(f"going on after step {trainer.step} of {config.steps}")
    return trainer.train(directory, stop)


def _probes(
    config: Config,
    tasks: Sequence[Task],
    tokenizer: Any,
    run_dir: RunDir,
    base: Path,
    new_engine: Callable[[nn.Module, Path], HFEngine],
    monitor: Monitor,
) -> list[Probe]:
    """The probe of the configured tasks; none where there are none."""
    if not tasks:
        return []
    probe = config.probe
    return [
        Probe(
            config=probe,
            tasks=tasks,
            tokenizer=tokenizer,
            run_dir=run_dir,
            base=base,
            base_engine=lambda: new_engine(models.load_model(base, config.engine.dtype), base),
            sampling=Sampling(probe.temperature, probe.top_p, config.longest_completion),
            save_every=config.save_every,
            console=monitor.console,
        )
    ]


def _print_end(config: Config, run_dir: RunDir, monitor: Monitor) -> None:
    records = [GapRecord(**row) for row in read_jsonl(run_dir.probe)]
    if records:
        monitor.print(gap_table(records))
    monitor.print(f"finished: {config.steps} steps. In {run_dir.path}:")
    monitor.print("  checkpoints/  the policy in Hugging Face format")
    monitor.print("  probe.jsonl   what the tables show    probes/  every sample with its verdict")
    monitor.print("  metrics.jsonl one line a step         config.json, card.json  what it was made with")
