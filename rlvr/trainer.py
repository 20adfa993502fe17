"""The loop: collect -> to_batch -> score -> credit -> update, a checkpoint now and then, hooks after it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor

from rlvr import losses
from rlvr.algorithm import Algorithm
from rlvr.batch import Batch, Counts
from rlvr.checkpoint import Checkpoint, commit
from rlvr.config import Config
from rlvr.engines import Engine
from rlvr.hooks import CheckpointHook, Moment
from rlvr.metrics import mismatch_metrics, rollout_metrics
from rlvr.monitor import Monitor
from rlvr.policy import Objective, Policy
from rlvr.rollout import ProblemStream, Rollouts, to_batch
from rlvr.run_dir import RunDir
from rlvr.seeds import derive_seed
from rlvr.signals import StopSignal


class Trainer:
    """One training run. Build it with everything it uses; `train` runs to the end or to a stop signal."""

    def __init__(
        self,
        config: Config,
        run_dir: RunDir,
        accelerator: Accelerator,
        algorithm: Algorithm,
        policy: Policy,
        engine: Engine,
        rollouts: Rollouts,
        stream: ProblemStream,
        monitor: Monitor,
        hooks: Sequence[CheckpointHook] = (),
    ):
        self.config = config
        self.run_dir = run_dir
        self.accelerator = accelerator
        self.algorithm = algorithm
        self.policy = policy
        self.engine = engine
        self.rollouts = rollouts
        self.stream = stream
        self.monitor = monitor
        self.hooks = hooks
        self.step = 0
        self.samples = 0

    def restore(self, checkpoint: Checkpoint) -> None:
        """Takes over everything but the weights, which the policy was loaded with."""
        state = torch.load(checkpoint.trainer / "state.pt", weights_only=True)
        self.policy.restore(state["policy"])
        self.stream.position = state["stream"]
        self.samples = state["samples"]
        self.step = checkpoint.step

    def train(self, start: Path, stop: StopSignal) -> bool:
        """Trains until `steps` or until stopped; True if the run is complete.

        start: the policy directory that the run starts or goes on from.
        """
        self.engine.load(self.policy.weights())
        if self._on_schedule(self.step):
            self._call_hooks(start)
        with self.monitor.training(self.step):
            while self.step < self.config.steps:
                self.step += 1
                self.monitor.log(self.step, self._train_step())
                stopping = self._agreed(bool(stop.received))
                if stopping or self._on_schedule(self.step):
                    checkpoint = self._save()
                if stopping:
                    return False
                if self._on_schedule(self.step):
                    self._call_hooks(checkpoint.policy)
        return True

    def _on_schedule(self, step: int) -> bool:
        return step % self.config.save_every == 0 or step == self.config.steps

    def _train_step(self) -> dict[str, float]:
        set_seed(derive_seed(self.config.seed, "step", self.step) % 2**32)
        begun = time.perf_counter()
        with timed() as rollout:
            problems = self.stream.take(self.config.rollouts.prompts)
            ranks, rank = self.accelerator.num_processes, self.accelerator.process_index
            groups = self.rollouts.collect(problems[rank::ranks])
        batch = to_batch(groups, self.accelerator.device)
        self.samples += len(batch) * ranks
        with timed() as score:
            batch = self._score(batch)
        batch = batch.with_(advantages=self.algorithm.credit(batch))
        with timed() as update:
            learned = self._update(batch)
            self.engine.load(self.policy.weights())
        total = time.perf_counter() - begun
        return {
            **self._averaged(rollout_metrics(groups)),
            **learned,
            "rollout/samples": self.samples,
            "time/rollout": rollout(),
            "time/score": score(),
            "time/update": update(),
            "time/step": total,
            "time/samples_per_second": len(batch) * ranks / total,
        }

    def _score(self, batch: Batch) -> Batch:
        """Fills the log-probs that the update needs besides its own."""
        optim = self.config.optim
        if optim.mini_batches * optim.epochs > 1:  # otherwise the ratio is 1 by construction
            batch = batch.with_(old_logprobs=self.policy.logprobs(batch))
        if self.algorithm.kl.coefficient > 0:
            batch = batch.with_(ref_logprobs=self.policy.ref_logprobs(batch))
        return batch

    def _update(self, batch: Batch) -> dict[str, float]:
        """Every optimizer step of one rollout batch; the metrics are means over these steps."""
        rows: list[dict[str, float]] = []
        skipped = 0
        for epoch in range(self.config.optim.epochs):
            for mini in self._mini_batches(batch, epoch):
                counts = self._counts(mini)
                mini = mini.with_(weights=self.algorithm.weights(mini, counts))
                update = self.policy.update(mini, partial(self._objective, counts))
                rows.append(update.metrics)
                skipped += update.skipped
        if skipped:
            self._keep_evidence(batch)
        means = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
        return {
            **means,
            "rollout/entropy": rows[0]["rollout/entropy"],
            "mismatch/mean": rows[0]["mismatch/mean"],
            "loss/skipped": skipped / len(rows),
        }

    def _objective(self, counts: Counts, logprobs: Tensor, entropy: Tensor, batch: Batch) -> Objective:
        """The loss of one micro-batch, and metrics that add up over micro-batches."""
        per_token = self.algorithm.policy_loss(logprobs, batch)
        kl = torch.zeros_like(per_token)
        if batch.ref_logprobs is not None:
            kl = losses.kl(logprobs, batch.ref_logprobs, self.algorithm.kl.estimator)
        policy_loss = (batch.weights * per_token).sum()
        kl_loss = (batch.weights * kl).sum()
        share = batch.mask / counts.tokens
        metrics = {
            "loss/policy": policy_loss,
            "loss/kl": kl_loss,
            "rollout/entropy": (share * entropy).sum(),
            **mismatch_metrics(logprobs, batch, share),
            **{
                f"loss/{name}": (share * value).sum()
                for name, value in self.algorithm.diagnostics(logprobs, batch).items()
            },
        }
        return Objective(policy_loss + self.algorithm.kl.coefficient * kl_loss, metrics)

    def _mini_batches(self, batch: Batch, epoch: int) -> Iterator[Batch]:
        """The rank's groups cut into mini-batches, in a new order each epoch; the order is the same on
        no two ranks, the sizes are the same on all."""
        parts = self.config.optim.mini_batches
        if parts == 1:
            yield batch
            return
        labels = batch.group.unique()
        seed = derive_seed(self.config.seed, "mini-batches", self.step, epoch)
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
        for chosen in labels[order.to(labels.device)].chunk(parts):
            yield batch.select(torch.isin(batch.group, chosen).nonzero()[:, 0])

    def _counts(self, batch: Batch) -> Counts:
        trained = torch.stack([batch.mask.sum(), batch.mask.any(1).sum()]).double()
        tokens, completions = self.accelerator.reduce(trained, reduction="sum").tolist()
        return Counts(tokens=max(tokens, 1.0), completions=max(completions, 1.0))

    def _averaged(self, metrics: Mapping[str, float]) -> dict[str, float]:
        values = torch.tensor(list(metrics.values()), device=self.accelerator.device)
        means = self.accelerator.reduce(values.double(), reduction="mean")
        return dict(zip(metrics, means.tolist(), strict=True))

    def _agreed(self, received: bool) -> bool:
        """Whether any rank was told to stop."""
        flag = torch.tensor([int(received)], device=self.accelerator.device)
        return bool(self.accelerator.gather(flag).any())

    def _save(self) -> Checkpoint:
        checkpoint = Checkpoint(self.step, self.run_dir.checkpoints / f"step_{self.step:06d}")
        if self.accelerator.is_main_process:
            commit(self.run_dir.checkpoints, self.step, self._write, self.config.keep_last)
        self.accelerator.wait_for_everyone()
        return checkpoint

    def _write(self, checkpoint: Checkpoint) -> None:
        self.policy.save(checkpoint.policy)
        self.rollouts.tokenizer.save_pretrained(checkpoint.policy)
        state: dict[str, Any] = {
            "policy": self.policy.state(),
            "stream": self.stream.position,
            "samples": self.samples,
        }
        torch.save(state, checkpoint.trainer / "state.pt")

    def _keep_evidence(self, batch: Batch) -> None:
        self.run_dir.evidence.mkdir(exist_ok=True)
        rank = self.accelerator.process_index
        torch.save(vars(batch), self.run_dir.evidence / f"step_{self.step:06d}-rank{rank}.pt")

    def _call_hooks(self, policy: Path) -> None:
        last = self.step == self.config.steps
        moment = Moment(self.step, self.samples, policy, self.engine, last)
        for hook in self.hooks:
            with timed() as seconds:
                metrics = dict(hook(moment))
            if metrics:
                self.monitor.mirror_metrics(self.step, {**metrics, "time/probe": seconds()})


@contextmanager
def timed() -> Iterator[Any]:
    """Gives a function that tells the seconds since the block began, or that it took."""
    begun = time.perf_counter()
    end: list[float] = []
    yield lambda: (end[0] if end else time.perf_counter()) - begun
    end.append(time.perf_counter())
