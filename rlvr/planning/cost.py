"""Time and money of a run before it is paid for: tokens, GPU-hours and dollars of each of its parts.

From a run's measured speed where there is one (`plan.like`), from `plan.*` where given, else from a
rule of thumb that is printed with the result: a share of the GPU's peak in bfloat16.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rlvr.config.errors import ConfigError, Mistake
from rlvr.config.schema import Config, Shape
from rlvr.core.run_dir import RunDir, read_jsonl
from rlvr.hooks.loading import factories
from rlvr.planning.memory import parameters

# bfloat16 peak in FLOP/s of a GPU of that many GiB or more: H100 from 80 on, A100 40, L4 24.
PEAKS = ((80.0, 989e12), (40.0, 312e12), (0.0, 121e12))
# Shares of the peak: decoding reads all weights for every token, training multiplies large matrices.
DECODING, TRAINING = 0.08, 0.4
# Mean length of a completion as a share of the limit, where nobody says.
MEAN_LENGTH = 1 / 8


@dataclass(frozen=True)
class Speed:
    """Tokens per second and GPU. source: where the figures are from."""

    rollout: float
    update: float
    source: str


def cost(config: Config, shape: Shape, gpus: int, gib: float) -> str:
    """What --dry-run prints. Raises ConfigError for a run to compare with that cannot be read."""
    speed = _speed(config, shape, gpus, gib)
    lines, total = [], 0.0
    for name, tokens, per_second in _parts(config, speed):
        hours = tokens / per_second / 3600
        total += hours
        lines.append(
            f"{name:9} {tokens:17,.0f} tokens at {per_second:7,.0f} a second and GPU: {hours:8,.1f} GPU-hours"
        )
    price = config.plan.dollars_per_gpu_hour
    paid = f", {total * price:,.0f} $ at {price:g} $ per GPU-hour" if price else ""
    lines.append(f"together  {total:,.1f} GPU-hours, {total / gpus:,.1f} hours on {gpus} GPU(s){paid}")
    lines.append(f"for completions of {_mean(config):,.0f} tokens, {speed.source}")
    return "\n".join(lines)


def _parts(config: Config, speed: Speed) -> Iterator[tuple[str, float, float]]:
    """Name, tokens, tokens per second and GPU."""
    r, mean = config.rollouts, _mean(config)
    trained = config.steps * r.prompts * r.group_size * mean
    yield "rollouts", trained, speed.rollout
    yield "updates", trained * config.optim.epochs, speed.update
    for factory in factories(config.hooks):
        if samples := factory.samples(config):
            share = factory.longest(config) / r.max_new_tokens
            yield factory.name, samples * mean * min(1.0, share), speed.rollout


def _mean(config: Config) -> float:
    """Tokens of a mean completion; the probe's are taken to be as long."""
    return config.plan.mean_tokens or config.rollouts.max_new_tokens * MEAN_LENGTH


def _speed(config: Config, shape: Shape, gpus: int, gib: float) -> Speed:
    plan = config.plan
    if plan.like is not None:
        measured = _measured(plan.like, gpus)
        return Speed(
            plan.rollout_tokens or measured.rollout, plan.update_tokens or measured.update, measured.source
        )
    peak = next(flops for least, flops in PEAKS if gib * 1.01 >= least)
    size = parameters(shape)
    passes = 8 if config.policy.gradient_checkpointing else 6  # forward 2, backward 4, forward again 2
    tera = peak / 1e12
    source = (
        f"by a rule of thumb, {DECODING:.0%} of {tera:,.0f} TFLOP/s when decoding, {TRAINING:.0%} when "
        "training: give plan.like=RUN for a run's own speed, or plan.rollout_tokens and plan.update_tokens"
    )
    rollout = plan.rollout_tokens or DECODING * peak / (2 * size)
    return Speed(rollout, plan.update_tokens or TRAINING * peak / (passes * size), source)


def _measured(run: str, gpus: int) -> Speed:
    """The speed of a run on so many GPUs, over its steps but for the first, which warms up."""
    directory = RunDir(Path(run))
    rows = read_jsonl(directory.metrics, "step")[1:]
    if len(rows) < 2 or "total/tokens" not in rows[0]:
        advice = "has no metrics.jsonl with three steps or more"
        raise ConfigError("the plan", [Mistake("plan.like", run, advice)])
    tokens = rows[-1]["total/tokens"] - rows[0]["total/tokens"]
    seconds = {
        part: sum(row[f"time/{part}"] for row in rows[1:]) for part in ("rollout", "score", "update", "sync")
    }
    training = seconds["score"] + seconds["update"] + seconds["sync"]
    return Speed(tokens / seconds["rollout"] / gpus, tokens / training / gpus, f"at the speed of {run}")
