"""The probe as a callback of somebody else's trainer: `transformers.Trainer`, or one of TRL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from accelerate.utils import extract_model_from_parallel
from rich.console import Console
from transformers import TrainerCallback

from evals.probe.hook import Probe
from evals.probe.plugin import settings_mistakes
from evals.records.probe_dir import ProbeDir
from evals.sampling.instrument import Instrument
from evals.sampling.settings import ProbeConfig
from rlvr.config.errors import ConfigError
from rlvr.config.schema import EngineConfig
from rlvr.core.run_dir import keep_jsonl
from rlvr.engines import Engine
from rlvr.engines.sampler import open_model
from rlvr.hooks import CheckpointEvent
from rlvr.tasks import Task


class ProbeCallback(TrainerCallback):
    """The same probe for a run of `transformers.Trainer` or a TRL trainer, whoever wrote its loop.

    Measures the base when training begins and every checkpoint that the trainer saves, in process, into
    probe.jsonl and probes/ below run_dir (default: the trainer's output_dir). The measurements also go
    into the trainer's log history.

    base: the base model's directory; training has to start from it for step 0 to be the base itself.
    tasks: see `rlvr.tasks.build_task`. config: its `every` counts the trainer's saves since this process
    began. Raises ConfigError for settings that contradict each other.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        base: str | Path,
        config: ProbeConfig,
        max_new_tokens: int,
        run_dir: str | Path | None = None,
        batch_size: int = 512,
        dtype: Literal["float32", "bfloat16"] = "float32",
    ):
        if config.mode != "live":
            raise ValueError("the callback measures in the training process: leave mode at 'live'")
        if mistakes := settings_mistakes(config, len(tasks)):
            raise ConfigError("the probe", mistakes)
        self.dtype = dtype
        self.tasks = tasks
        self.base = base
        self.config = config
        self.max_new_tokens = max_new_tokens
        self.run_dir = run_dir
        self.batch_size = batch_size
        self._probe: Probe | None = None
        self._engine: Engine | None = None
        self._saves = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        tokenizer = kwargs["processing_class"]
        run_dir = ProbeDir(self.run_dir or args.output_dir)
        run_dir.path.mkdir(parents=True, exist_ok=True)
        if state.is_world_process_zero:
            with run_dir.writing_records():
                keep_jsonl(run_dir.probe, lambda row: row["step"] <= state.global_step)
        config = EngineConfig(dtype=self.dtype, batch_size=self.batch_size)
        base = open_model(self.base, config, args.device, tokenizer)
        # A copy of the live model would not do: trainers patch its methods, which then stay bound to it.
        self._engine = base.build()
        self._probe = Probe(
            instrument=Instrument(
                self.config.model_copy(update={"every": 1}),  # on_save counts
                tokenizer,
                self.max_new_tokens,
                Console(stderr=True),
            ),
            tasks=[base.posed(task) for task in self.tasks],
            run_dir=run_dir,
            base=base.path,
            open_base=base.build,
            save_every=1,
            begins_after=state.global_step,
        )
        if state.global_step == 0:
            self._measure(state, control, base.path)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        directory = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        self._saves += 1
        if self._saves % self.config.every and state.global_step < state.max_steps:
            return
        if self._engine is not None:
            self._engine.load(extract_model_from_parallel(kwargs["model"]).named_parameters())
        self._measure(state, control, directory)

    def _measure(self, state: Any, control: Any, directory: Path) -> None:
        if self._probe is None or self._engine is None:
            raise RuntimeError("the callback was not there when training began")
        last = state.global_step >= state.max_steps
        event = CheckpointEvent(state.global_step, 0, directory, self._engine, last)
        report = self._probe(event)
        if report.stop and not last:
            control.should_training_stop = True
            report = self._probe(replace(event, last=True))
        state.log_history.append({"step": state.global_step, **report.metrics})
