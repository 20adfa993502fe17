"""The run directory of somebody else's trainer: what compare, the ledger and the commands need to read it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evals.records.probe_dir import ProbeDir
from evals.sampling.settings import ProbeConfig
from rlvr.config.schema import Config, EngineConfig
from rlvr.core.run_dir import append_jsonl, keep_jsonl, write_record
from rlvr.engines.sampler import Sampler
from rlvr.hooks.loading import config_model
from rlvr.runs.provenance import run_card
from rlvr.tasks import Task

# What transformers and TRL call the metrics that compare draws.
METRICS = {
    "reward": "rollout/reward",
    "entropy": "rollout/entropy",
    "completions/mean_length": "rollout/length",
    "completions/clipped_ratio": "rollout/truncated",
    "frac_reward_zero_std": "rollout/zero_variance",
    "kl": "loss/kl",
    "loss": "loss/policy",
    "grad_norm": "loss/grad_norm",
    "learning_rate": "optim/lr",
}

# Settings of TRL's trainers that make an algorithm what it is.
ALGORITHM = (
    "loss_type",
    "beta",
    "epsilon",
    "epsilon_high",
    "delta",
    "num_iterations",
    "scale_rewards",
    "importance_sampling_level",
    "normalize_advantages",
    "reward_clip_range",
    "mask_truncated_completions",
    "top_entropy_quantile",
)


def run_config(
    trainer: str, args: Any, steps: int, base: str, engine: EngineConfig, probe: ProbeConfig, run_dir: Path
) -> Config:
    """What another trainer's arguments say, in the words of this project.

    trainer: its name, such as trl.GRPOTrainer, which stands for the algorithm and the training data. args:
    a `transformers.TrainingArguments`, or one of TRL's.
    """
    group = getattr(args, "num_generations", None) or 1
    rows = args.per_device_train_batch_size * args.world_size * args.gradient_accumulation_steps
    settings = {name: getattr(args, name) for name in ALGORITHM if hasattr(args, name)}
    plain = {k: v for k, v in settings.items() if v is None or isinstance(v, (int, float, str))}
    every = int(args.save_steps) if args.save_strategy == "steps" and args.save_steps >= 1 else 1
    data = {
        "recipe": trainer,
        "model": base,
        "run_dir": str(run_dir),
        "seed": args.seed,
        "steps": steps,
        "save_every": every,
        "keep_last": args.save_total_limit or steps,
        "task": {"name": f"{trainer}'s data"},
        "algorithm": {"name": trainer, **plain},
        "rollouts": {
            "prompts": max(1, rows // group),
            "group_size": group,
            "max_new_tokens": getattr(args, "max_completion_length", None) or 1,
            "temperature": getattr(args, "temperature", 1.0),
            "top_p": getattr(args, "top_p", 1.0),
        },
        "optim": {
            "lr": args.learning_rate,
            "betas": (args.adam_beta1, args.adam_beta2),
            "weight_decay": args.weight_decay,
            "max_grad_norm": args.max_grad_norm or 1e9,
        },
        "policy": {"dtype": "bfloat16" if args.bf16 else "float32"},
        "engine": engine.model_dump(),
        "probe": probe.model_dump(),
    }
    return config_model().model_validate(data)


class ForeignRun:
    """Writes config.json, card.json, metrics.jsonl and the mark of a finished run, on the main process.

    begins_after: the step that training goes on from.
    """

    def __init__(self, run_dir: ProbeDir, config: Config, begins_after: int):
        self.run_dir = run_dir
        self.config = config
        self._clock = time.monotonic()
        with run_dir.writing_records():
            keep_jsonl(run_dir.probe, lambda row: row["step"] <= begins_after, "step")
        keep_jsonl(run_dir.metrics, lambda row: row["step"] <= begins_after, "step")
        run_dir.finished.unlink(missing_ok=True)

    def describe(self, base: Sampler, tasks: Sequence[Task]) -> None:
        write_record(self.run_dir.config, self.config.model_dump(mode="json"))
        write_record(
            self.run_dir.card, run_card(self.config, {"model": base, "base": base}, {"probe": tasks})
        )

    def log(self, step: int, logs: Mapping[str, Any]) -> None:
        """Adds a row of what the trainer logged of its training; other logs have no row."""
        found = {METRICS[key]: float(value) for key, value in logs.items() if key in METRICS}
        if "loss/policy" not in found and "rollout/reward" not in found:
            return
        now = time.monotonic()
        rollouts = self.config.rollouts
        row = {
            "step": step,
            **found,
            "rollout/length": found.get("rollout/length", 0.0),
            "time/step": now - self._clock,
            "total/samples": step * rollouts.prompts * rollouts.group_size,
        }
        if "num_tokens" in logs:
            row["total/tokens"] = int(logs["num_tokens"])
        self._clock = now
        append_jsonl(self.run_dir.metrics, row)

    def finish(self) -> None:
        write_record(self.run_dir.finished, {"steps": self.config.steps})
