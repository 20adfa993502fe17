"""The probe as a callback of somebody else's trainer: `transformers.Trainer`, or one of TRL."""

from __future__ import annotations

import hashlib
import traceback
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from torch import Tensor
from transformers import Trainer, TrainerCallback

from evals.probe.foreign import ForeignRun, run_config
from evals.probe.hook import Probe
from evals.probe.jobs import leave
from evals.probe.plugin import probed_tasks, settings_mistakes
from evals.probe.trainer_engine import trainer_engine
from evals.probe.whole_weights import is_model_of, unsharded_loading, whole_weights
from evals.records.probe_dir import ProbeDir
from evals.sampling.instrument import Instrument
from evals.sampling.settings import ProbeConfig
from rlvr.config.errors import ConfigError
from rlvr.config.schema import EngineConfig
from rlvr.core.checkpoint import weight_hash
from rlvr.core.progress import plain_console
from rlvr.engines import Engine
from rlvr.engines.sampler import Sampler, open_model
from rlvr.hooks import CheckpointEvent
from rlvr.learning.accelerator import processes
from rlvr.models.loading import eos_ids
from rlvr.tasks import Task


class ProbeCallback(TrainerCallback):
    """The same probe for a run of `transformers.Trainer` or a TRL trainer, whoever wrote its loop.

    Measures the base when training begins and every checkpoint that the trainer saves, into probe.jsonl and
    probes/ below run_dir (default: the trainer's output_dir), which `compare`, `ledger` and the others read
    like a run of this project. The policy may be wrapped, sharded (ZeRO-3, FSDP) or have LoRA adapters.
    What goes wrong in the probe is printed and kept in evidence/; it never ends the training.

    base: the base model, a directory or Hub id; training has to start from it for step 0 to be the base
    itself. config: its `every` counts the trainer's saves since this process began; mode detached leaves
    jobs for `python -m evals probe run=RUN_DIR`. tasks: as built; default: those of `config.tasks`.
    engine: what samples; default: the trainer's own colocated vLLM where it has one (see `attach`), else
    transformers with a second copy of the weights. Raises ConfigError for settings that contradict each
    other.
    """

    def __init__(
        self,
        base: str | Path,
        config: ProbeConfig,
        max_new_tokens: int,
        tasks: Sequence[Task] = (),
        run_dir: str | Path | None = None,
        engine: EngineConfig | None = None,
    ):
        if config.mode == "detached" and not config.tasks:
            raise ValueError("a detached probe builds its tasks itself: give their names in config.tasks")
        if mistakes := settings_mistakes(config, len(tasks or config.tasks)):
            raise ConfigError("the probe", mistakes)
        self.base = base
        self.config = config
        self.max_new_tokens = max_new_tokens
        self.tasks = tasks
        self.run_dir = run_dir
        self.engine_config = engine
        self.console = plain_console(stderr=True)
        self.trainer: Any = None
        self._probe: Probe | None = None
        self._engine: Engine | None = None
        self._foreign: ForeignRun | None = None
        self._given: str | None = None
        self._saves = 0

    def attach(self, trainer: Any) -> ProbeCallback:
        """Adds it to the trainer, whose trackers then get the measurements too, and whose vLLM it uses."""
        self.trainer = trainer
        trainer.add_callback(self)
        return self

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._given = None
        with _Surviving(self, args, "before step 0" if state.global_step == 0 else "at the start"):
            self._open(args, state, kwargs["processing_class"], kwargs["model"])
            if state.global_step == 0:
                if not is_model_of(self._base.path, kwargs["model"]):
                    raise ValueError(f"training does not start from {self.base}: step 0 is not the base")
                self._measure(args, state, control, kwargs["model"], self._base.path)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._saves += 1
        if self._saves % self.config.every and state.global_step < state.max_steps:
            return
        with _Surviving(self, args, f"at step {state.global_step}"):
            directory = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            self._measure(args, state, control, kwargs["model"], directory)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._foreign is not None and state.is_world_process_zero:
            self._foreign.log(state.global_step, kwargs.get("logs") or {})

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._foreign is not None and state.is_world_process_zero and state.global_step >= state.max_steps:
            self._foreign.finish()

    def _open(self, args: Any, state: Any, tokenizer: Any, model: Any) -> None:
        """Opens the base and writes what the run directory says of the run."""
        run_dir = self._directory(args)
        self.tasks = self.tasks or probed_tasks(self._with_tasks(args, state))
        config = self.engine_config or EngineConfig()
        base = open_model(self.base, config, args.device, tokenizer)
        tasks = [base.posed(task) for task in self.tasks]
        base.fit(tasks, self.max_new_tokens)
        self._base = base
        if state.is_world_process_zero:
            self._foreign = ForeignRun(run_dir, self._with_tasks(args, state), state.global_step)
            self._foreign.describe(base, tasks)
        if self.config.mode == "detached":
            return
        if self.engine_config is None:
            ends = eos_ids(base.path, tokenizer)
            self._engine = trainer_engine(self.trainer, tokenizer, ends, base.longest)
        # A copy of the live model would not do: trainers patch its methods, which then stay bound to it.
        self._engine = self._engine or _built(base)
        self._probe = Probe(
            instrument=Instrument(
                self.config.model_copy(update={"every": 1}),  # on_save counts
                tokenizer,
                self.max_new_tokens,
                self.console,
            ),
            tasks=tasks,
            run_dir=run_dir,
            base=base.path,
            open_base=lambda: _built(base),
            save_every=1,
            begins_after=state.global_step,
            identify=self._identify,
        )

    def _with_tasks(self, args: Any, state: Any) -> Any:
        """The run's configuration, with the tasks under the names that they have."""
        config = self.config
        if not config.tasks:
            tasks = tuple({"name": task.name} for task in self.tasks)
            config = ProbeConfig.model_validate({**config.model_dump(), "tasks": tasks})
        config = config.model_copy(update={"max_new_tokens": self.max_new_tokens})
        name = type(self.trainer).__name__ if self.trainer else "Trainer"
        package = type(self.trainer).__module__.partition(".")[0] if self.trainer else "transformers"
        engine = self.engine_config or EngineConfig()
        where = self._directory(args).path
        return run_config(f"{package}.{name}", args, state.max_steps, str(self.base), engine, config, where)

    def _directory(self, args: Any) -> ProbeDir:
        run_dir = ProbeDir(self.run_dir or args.output_dir)
        run_dir.path.mkdir(parents=True, exist_ok=True)
        return run_dir

    def _measure(self, args: Any, state: Any, control: Any, model: Any, directory: Path) -> None:
        last = state.global_step >= state.max_steps
        event = CheckpointEvent(state.global_step, 0, directory, self._engine, last)  # type: ignore[arg-type]
        if self.config.mode == "detached":
            if state.is_world_process_zero:
                leave(self._directory(args), event, self.console)
            return
        if self._probe is None or self._engine is None:
            raise RuntimeError("there is no probe: it could not be set up when training began")
        processes().wait_for_everyone()  # until the checkpoint is written
        nameless = broadcast_object_list([not any(directory.glob("*.safetensors"))])[0]
        weights = self._hashed(model) if nameless else whole_weights(model)
        self._engine.load(weights)
        if nameless:
            deque(weights, maxlen=0)  # what an engine left that takes the trainer's own
        try:
            report = self._probe(event)
            if report.stop and not last:
                control.should_training_stop = True
                report = self._probe(replace(event, last=True))
        finally:
            self._engine.sleep()
        self._log(state, report.metrics)

    def _log(self, state: Any, metrics: Mapping[str, float]) -> None:
        if self.trainer is None:
            state.log_history.append({"step": state.global_step, **metrics})
        else:
            Trainer.log(self.trainer, dict(metrics))  # TRL's own would average and clear its metrics

    def _hashed(self, model: Any) -> Iterator[tuple[str, Tensor]]:
        """The policy's weights on their way to the engine, whose hash names a checkpoint that holds none."""
        digest = hashlib.sha256()
        for name, weight in whole_weights(model):
            digest.update(name.encode())
            digest.update(weight.detach().float().cpu().numpy().tobytes())
            yield name, weight
        self._given = digest.hexdigest()[:16]

    def _identify(self, policy: Path) -> str:
        """The hash of a checkpoint's weights; of those that the engine was given where it has only shards."""
        if self._given is not None and not list(policy.glob("*.safetensors")):
            return self._given
        return weight_hash(policy)


def _built(model: Sampler) -> Engine:
    with unsharded_loading():
        return model.build()


class _Surviving:
    """Reports and keeps what goes wrong inside the block, and lets training go on."""

    def __init__(self, callback: ProbeCallback, args: Any, when: str):
        self.callback, self.args, self.when = callback, args, when

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        if not isinstance(error, Exception):
            return False
        name = f"probe {self.when} rank {self.args.process_index}.txt".replace(" ", "-")
        where = ""
        with suppress(OSError):  # such as a full disk, which may be what went wrong
            evidence = self.callback._directory(self.args).evidence
            evidence.mkdir(exist_ok=True)
            (evidence / name).write_text("".join(traceback.format_exception(kind, error, trace)))
            where = f"; the traceback is in {evidence / name}"
        self.callback.console.print(
            f"warning: no probe {self.when}: {type(error).__name__}: {error}\n"
            f"Training goes on and the next save is tried{where}.",
            markup=False,
            highlight=False,
        )
        return True
