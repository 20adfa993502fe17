"""The loop: collect -> to_batch -> score -> credit -> update, a checkpoint now and then, hooks after it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed

from rlvr.algorithms.batch import CreditedBatch
from rlvr.config.schema import Config
from rlvr.core.checkpoint import Checkpoint, CheckpointError, commit
from rlvr.core.process.interrupts import StopSignal
from rlvr.core.process.state import kept
from rlvr.core.run_dir import RunDir, saved, step_folder, write_record
from rlvr.core.seeds import derive_seed
from rlvr.engines import Engine
from rlvr.hooks import CheckpointEvent, CheckpointHook, HookReport
from rlvr.learning.learner import Learner
from rlvr.learning.policy import NonFiniteError, Policy
from rlvr.models.portable import make_portable
from rlvr.rollouts.balance import balanced
from rlvr.rollouts.collect import Collected, Group, Rollouts, to_batch
from rlvr.rollouts.metrics import Totals, facts, rollout_metrics, spread_metrics
from rlvr.rollouts.pipeline import Pipeline, has_saved
from rlvr.rollouts.rounds import Kept
from rlvr.runs.model_card import write_model_card
from rlvr.tasks.streams import Stream
from rlvr.tracking.kept_rollouts import KeptRollouts
from rlvr.tracking.monitor import Monitor
from rlvr.tracking.rollout_table import rollout_table, shown_rows

STATE_FILE = "state.pt"


class Trainer:
    """One training run. Build it with everything it uses; `train` runs to the end or to a stop signal."""

    def __init__(
        self,
        config: Config,
        run_dir: RunDir,
        accelerator: Accelerator,
        policy: Policy,
        learner: Learner,
        engine: Engine,
        rollouts: Rollouts,
        stream: Stream,
        monitor: Monitor,
        hooks: Mapping[str, CheckpointHook] | None = None,
        run_id: str = "",
    ):
        self.config = config
        self.run_dir = run_dir
        self.accelerator = accelerator
        self.policy = policy
        self.learner = learner
        self.engine = engine
        self.rollouts = rollouts
        self.stream = stream
        self.pipeline = Pipeline(rollouts, stream, config.steps)
        self.monitor = monitor
        self.hooks = hooks or {}
        self.run_id = run_id
        self.kept = KeptRollouts(
            run_dir.rollouts, config.monitor.keep_rollouts, accelerator.process_index, rollouts.tokenizer
        )
        self.step = 0
        self.totals = Totals()
        self._owner = os.getpid()

    def restore(self, checkpoint: Checkpoint) -> None:
        """Takes over everything but the weights, which the policy was loaded with."""
        state = torch.load(checkpoint.trainer / STATE_FILE, weights_only=True)
        self._check_processes(state["processes"], checkpoint)
        self.policy.restore(checkpoint.trainer)
        self.stream.restore(state["stream"])
        self.totals = Totals(**state["totals"])
        self.rollouts.kept = Kept(**state.get("kept", {}))
        if "learner" in state:
            self.learner.restore(state["learner"])
        self.pipeline.restore(checkpoint.trainer, self.accelerator.process_index, checkpoint.step)
        self.step = checkpoint.step

    def train(self, start: Path, stop: StopSignal) -> bool:
        """Trains until `steps` or until stopped; True if the run is complete. Raises Interrupted.

        start: the policy directory that the run starts or resumes from.
        """
        # A new run's own engine holds the base as its files have it; the policy may hold it less precisely.
        if self.step > 0 or self.config.engine.mode == "server":
            self.pipeline.load(self.policy.weights(), self.step)
        if self._on_schedule() and self._run_hooks(start):
            return True
        tell = self._will_save if self.accelerator.is_main_process else None
        showing = self.monitor.training(self.step, self._stops())
        with closing(self.pipeline), showing, stop.finishing(tell):
            while self.step < self.config.steps:
                self.step += 1
                self.monitor.log(self.step, *self._train_step())
                stopping = self._agreed(stop.received)
                if stopping or self._on_schedule():
                    checkpoint = self._save()
                if stopping:
                    return False
                if self._on_schedule():
                    begun = time.perf_counter()
                    with stop.at_once():  # the checkpoint is there, and a probe resumes where it stopped
                        if self._run_hooks(checkpoint.policy):
                            break
                    self.monitor.waited(time.perf_counter() - begun)
        return True

    def _stops(self) -> int:
        """Checkpoints to come, at which hooks are called."""
        steps = range(self.step + 1, self.config.steps + 1)
        return sum(map(self._is_scheduled, steps)) if self.hooks else 0

    def _will_save(self) -> str:
        return (
            f"stopping: finishing step {self.step} and saving it, after which the same command goes on from "
            "there (Ctrl-C again stops now, and loses what came after the last checkpoint)"
        )

    def _on_schedule(self) -> bool:
        """Whether this step has a checkpoint or, before the first, a policy to measure."""
        return self._is_scheduled(self.step)

    def _is_scheduled(self, step: int) -> bool:
        return step % self.config.save_every == 0 or step == self.config.steps

    def _end_forked(self) -> None:
        """A process that somebody's code forked within a step is no second trainer."""
        if os.getpid() != self._owner:
            os.write(
                2, f"\nprocess {os.getpid()} was forked from the trainer and came back: ended\n".encode()
            )
            os._exit(1)

    def _train_step(self) -> tuple[dict[str, float], HookReport]:
        # Nothing draws from the global generators between steps, so a resume need not restore them.
        set_seed(derive_seed(self.config.seed, "step", self.step) % 2**32)
        begun = time.perf_counter()
        dated = self.pipeline.collect(self.step)
        collected = dated.rollouts
        self._end_forked()
        self.monitor.warn_unread(self.rollouts.task, collected)
        self.engine.sleep()
        rolled_out = time.perf_counter()
        mask_truncated = self.config.rollouts.mask_truncated
        used = balanced(collected.used, self.accelerator)
        ready = to_batch(used, self.accelerator.device, mask_truncated)
        batch = self.learner.credit(self.learner.score(ready))
        scored = time.perf_counter()
        self.kept.write(self.step, used, batch)
        report = self._shown(used, batch)
        shown = time.perf_counter()
        learned, skipped = self.learner.update(batch, self.step)
        updated = time.perf_counter()
        if skipped:
            self._keep_evidence(batch)
        self.pipeline.finish()
        drawn = time.perf_counter()
        self.pipeline.load(self.policy.weights(), self.step)
        ended = time.perf_counter()
        self.totals = self.totals.plus(collected, ended - begun)
        metrics = {
            **self._averaged(rollout_metrics(collected, self.rollouts.task.checker is not None)),
            **self._spread(collected),
            **learned,
            **self.totals.metrics(),
            "rollout/draws": collected.draws,
            "rollout/samples": collected.samples,
            "rollout/unused": collected.unused,
            "rollout/staleness": dated.staleness,
            "time/rollout": rolled_out - begun + drawn - updated,
            "time/score": scored - rolled_out,
            "time/update": updated - shown,
            "time/sync": ended - drawn,
            "time/step": ended - begun,
            "time/samples_per_second": collected.samples / (ended - begun),
        }
        return metrics, report

    def _shown(self, groups: Sequence[Group], batch: CreditedBatch) -> HookReport:
        """For dashboards, where a checkpoint follows: rollouts to read. All ranks score, one is shown."""
        if self.config.monitor.wandb == "disabled" or not self._on_schedule():
            return HookReport()
        rows = shown_rows(batch)
        table = rollout_table(groups, rows, self.policy.scores(rows).logprobs)
        return HookReport(tables={"samples/rollouts": lambda: table})

    def _averaged(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Means over ranks, which all sample equally many completions."""
        device = self.accelerator.device
        values = torch.tensor(list(metrics.values()), dtype=torch.float64, device=device)
        means = self.accelerator.reduce(values, reduction="mean").tolist()
        return dict(zip(metrics, means, strict=True))

    def _spread(self, collected: Collected) -> dict[str, float]:
        parts = [part.name for part in self.rollouts.task.parts]
        tasks = parts if len(parts) > 1 else []
        own = facts(collected, tasks).to(self.accelerator.device)
        return spread_metrics(self.accelerator.gather(own).cpu(), tasks)

    def _agreed(self, received: bool) -> bool:
        """Whether any rank was told to stop."""
        flag = torch.tensor([int(received)], device=self.accelerator.device)
        return bool(self.accelerator.gather(flag).any())

    def _save(self) -> Checkpoint:
        ranks = self.accelerator
        self.pipeline.grade()
        try:
            checkpoint = commit(
                self.run_dir.checkpoints,
                self.step,
                self._write,
                self.config.keep_last,
                ranks.is_main_process,
                ranks.wait_for_everyone,
                scheduled=self._is_scheduled,
                run=self.run_id,
            )
        except NonFiniteError as error:
            raise NonFiniteError(
                f"step {self.step}: {error}, so this step is not saved. Saved: {saved(self.run_dir)}. "
                "The same command goes on from there and comes to the same; start a new run with a lower "
                "optim.lr, or "
                "with more headroom (policy.dtype, optim.max_grad_norm)."
            ) from error
        if ranks.is_main_process:
            write_record(self.run_dir.saved, {"step": self.step})
        return checkpoint

    def _write(self, checkpoint: Checkpoint) -> None:
        self.policy.save(checkpoint.policy, checkpoint.trainer)
        self.pipeline.save(checkpoint.trainer, self.accelerator.process_index)
        if self.accelerator.is_main_process:
            self.rollouts.tokenizer.save_pretrained(checkpoint.policy)
            make_portable(checkpoint.policy)
            write_model_card(checkpoint.policy, self.config, self.step)
            state: dict[str, Any] = {
                "stream": self.stream.state(),
                "totals": asdict(self.totals),
                "kept": asdict(self.rollouts.kept),
                "learner": self.learner.state(),
                "processes": self.accelerator.num_processes,
            }
            torch.save(state, checkpoint.trainer / STATE_FILE)

    def _check_processes(self, saved: int, checkpoint: Checkpoint) -> None:
        now = self.accelerator.num_processes
        what = "shards" if self.config.policy.zero else "rollouts"
        if (self.config.policy.zero or has_saved(checkpoint.trainer)) and saved != now:
            raise CheckpointError(
                f"the checkpoint's {what} are of {saved} processes, this run has {now}: go on with {saved}, "
                "or start a new run with model=<run>/checkpoints/<step>/policy"
            )

    def _keep_evidence(self, batch: CreditedBatch) -> None:
        self.run_dir.evidence.mkdir(exist_ok=True)
        rank = self.accelerator.process_index
        torch.save(vars(batch), self.run_dir.evidence / f"{step_folder(self.step)}-rank{rank}.pt")

    def _run_hooks(self, policy: Path) -> bool:
        """Calls the hooks; True if one of them ends training before `steps`, after a last call of all."""
        last = self.step == self.config.steps
        reasons = self._call_hooks(policy, last)
        if last or not reasons:
            return False
        self.monitor.print(f"stopped early after step {self.step}: {'; '.join(reasons)}")
        self._call_hooks(policy, True)
        return True

    def _put_back(self, what: str, piece: str) -> None:
        self.monitor.warn_once(f"{what} {piece}", f"{what} changed {piece} of this process: it was put back")

    def _call_hooks(self, policy: Path, last: bool) -> list[str]:
        """Why the hooks would end training here."""
        event = CheckpointEvent(self.step, self.totals.samples, policy, self.engine, last)
        reasons = []
        for name, hook in self.hooks.items():
            begun = time.perf_counter()
            with kept(lambda piece, name=name: self._put_back(f"hook {name}", piece)):  # type: ignore[misc]
                report = hook(event)
            self._end_forked()
            if not report.is_empty:
                row = {**self.totals.metrics(), f"time/{name}": time.perf_counter() - begun}
                self.monitor.mirror(self.step, row, report)
            if report.stop:
                reasons.append(report.stop)
        return reasons
