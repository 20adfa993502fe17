"""The probe as a callback of somebody else's trainer: `transformers.Trainer`, or one of TRL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate.utils import extract_model_from_parallel
from rich.console import Console
from transformers import TrainerCallback

from evals.probe.hook import Base, Probe
from evals.sampling.instrument import Instrument
from rlvr.config.errors import ConfigError
from rlvr.config.schema import ProbeConfig
from rlvr.core.run_dir import RunDir
from rlvr.engines.hf import HFEngine
from rlvr.hooks import Moment
from rlvr.models.loading import eos_ids, load_model
from rlvr.planning.checks import of_probe
from rlvr.runs.resume import cut_back_probes
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
        dtype: str = "float32",
    ):
        if config.mode != "live":
            raise ValueError("the callback measures in the training process: leave mode at 'live'")
        if mistakes := of_probe(config, len(tasks)):
            raise ConfigError("the probe", mistakes)
        self.dtype = dtype
        self.tasks = tasks
        self.base = Path(base)
        self.config = config
        self.max_new_tokens = max_new_tokens
        self.run_dir = run_dir
        self.batch_size = batch_size
        self._probe: Probe | None = None
        self._engine: HFEngine | None = None
        self._saves = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        tokenizer = kwargs["processing_class"]
        run_dir = RunDir(self.run_dir or args.output_dir)
        run_dir.path.mkdir(parents=True, exist_ok=True)
        if state.is_world_process_zero:
            cut_back_probes(run_dir, state.global_step)
        # A copy of the live model would not do: trainers patch its methods, which then stay bound to it.
        self._engine = self._hold(tokenizer, args.device)
        self._probe = Probe(
            instrument=Instrument(
                self.config.model_copy(update={"every": 1}),  # on_save counts
                tokenizer,
                self.max_new_tokens,
                Console(stderr=True),
            ),
            tasks=self.tasks,
            run_dir=run_dir,
            base=Base(self.base, lambda: self._hold(tokenizer, args.device)),
            save_every=1,
        )
        if state.global_step == 0:
            self._measure(state, control, self.base)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        directory = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        self._saves += 1
        if self._saves % self.config.every and state.global_step < state.max_steps:
            return
        if self._engine is not None:
            self._engine.load(extract_model_from_parallel(kwargs["model"]).named_parameters())
        self._measure(state, control, directory)

    def _hold(self, tokenizer: Any, device: Any) -> HFEngine:
        """An engine with the base's weights."""
        model = load_model(self.base, self.dtype).to(device)
        return HFEngine(model, tokenizer, eos_ids(self.base, tokenizer), self.batch_size)

    def _measure(self, state: Any, control: Any, directory: Path) -> None:
        if self._probe is None or self._engine is None:
            raise RuntimeError("the callback was not there when training began")
        last = state.global_step >= state.max_steps
        moment = Moment(state.global_step, 0, directory, self._engine, last)
        report = self._probe(moment)
        if report.stop and not last:
            control.should_training_stop = True
            report = self._probe(replace(moment, last=True))
        state.log_history.append({"step": state.global_step, **report.metrics})
