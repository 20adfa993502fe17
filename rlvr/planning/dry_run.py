"""--dry-run: what a recipe resolves to and costs, without its weights, its data or a hub."""

from __future__ import annotations

import math

from omegaconf import OmegaConf

from rlvr.config.schema import Config, ProbedTask, Shape
from rlvr.planning import memory
from rlvr.planning.advice import Gpus, check_fit
from rlvr.tasks import TaskError, probed_task
from rlvr.tasks import code as code_tasks
from rlvr.tasks import math as math_tasks
from rlvr.tasks.sources import without_hub

# The share of probe samples in all samples above which the probe is called expensive.
PROBE_WARNING = 0.2
PUBLISHED = math_tasks.PUBLISHED_PROBLEMS | code_tasks.PUBLISHED_PROBLEMS


def describe(config: Config, processes: int, gpus: Gpus | None = None) -> str:
    """The resolved configuration, the batch arithmetic, the probe's share and a memory estimate, held
    against the GPUs where they are given."""
    resolved = OmegaConf.to_yaml(OmegaConf.create(config.model_dump(mode="json")))
    parts = [
        f"# resolved configuration\n{resolved.rstrip()}",
        f"# batch arithmetic\n{_batch(config, processes)}",
        f"# probe\n{_probe(config)}",
        f"# memory per GPU\n{_memory(config, processes, gpus)}",
    ]
    return "\n\n".join(parts)


def _batch(config: Config, processes: int) -> str:
    rollouts, optim = config.rollouts, config.optim
    rows = rollouts.prompts * rollouts.group_size
    updates = optim.mini_batches * optim.epochs
    return "\n".join(
        [
            f"{rollouts.prompts} prompts x {rollouts.group_size} completions = {rows:,} a step, "
            f"{rows // processes:,} on each of {processes} process(es)",
            f"{optim.mini_batches} mini-batch(es) x {optim.epochs} epoch(s) = {updates} optimizer step(s) "
            f"of {rows // optim.mini_batches:,} completions",
            f"{config.steps} steps = {config.steps * rows:,} completions, {config.steps * updates:,} "
            "optimizer steps",
            f"at most {rows * rollouts.max_new_tokens:,} new tokens a step; micro-batches of "
            f"{optim.micro_batch_tokens:,} tokens",
        ]
    )


def _probe(config: Config) -> str:
    probe = config.probe
    if not probe.tasks:
        return "no probe: probe.tasks is empty"
    checkpoints = math.ceil(config.steps / config.save_every)
    between = len([i for i in range(1, checkpoints) if i % probe.every == 0])
    each = probe.base_n + between * probe.n + probe.final_n
    lines, total, unknown = [], 0, False
    for choice in config.probe.tasks:
        count = _problems(config, choice)
        unknown |= count is None
        total += (count or 0) * each
        shown = "an unknown number of" if count is None else f"{count:,}"
        lines.append(f"{choice.label}: {shown} problems x {each:,} samples")
    lines.append(
        f"samples a problem: base {probe.base_n} once, {between} checkpoint(s) x {probe.n}, "
        f"the last {probe.final_n}"
    )
    if probe.stop_r or probe.base_stop_r:
        lines.append("fewer where a problem stops at its r-th success (probe.stop_r, probe.base_stop_r)")
    trained = config.steps * config.rollouts.prompts * config.rollouts.group_size
    share = total / (total + trained)
    least = "at least " if unknown else ""
    lines.append(f"{least}{total:,} probe samples are {least}{share:.0%} of all samples")
    if share > PROBE_WARNING:
        lines.append(
            f"warning: above {PROBE_WARNING:.0%}; lower probe.final_n, probe.n or probe.max_problems, or "
            "raise probe.every. The base's samples are drawn once and shared by all runs of it."
        )
    return "\n".join(lines)


def _problems(config: Config, choice: ProbedTask) -> int | None:
    """Problems probed of a task; as published where its data is not at hand, None if unknown."""
    try:
        with without_hub():
            count = len(probed_task(choice).test)
    except TaskError:
        published = PUBLISHED.get(choice.label)
        if published is None:
            return config.probe.max_problems
        count = published
    return min(count, config.probe.max_problems or count)


def _memory(config: Config, processes: int, gpus: Gpus | None) -> str:
    shape: Shape | None = config.policy.shape
    if shape is None:
        return "not estimated: the recipe gives no policy.shape"
    m = memory.estimate(config, shape, processes, gpus.gib if gpus else None)
    lora = config.policy.lora
    trained = f"LoRA of rank {lora.rank}" if lora else "every weight trained"
    lines = [
        f"{memory.parameters(shape):,} parameters, {trained}, {config.policy.dtype}, "
        f"ZeRO-{config.policy.zero} over {processes} process(es), in GiB:",
        f"states   {m.states:7.1f} = weights {m.weights:.1f} + gradients {m.gradients:.1f} + optimizer "
        f"{m.optimizer:.1f}",
        f"engine   {m.engine_weights + m.kv_cache:7.1f} = weights {m.engine_weights:.1f} + KV cache "
        f"{m.kv_cache:.1f} ({m.completions:.1f} completions of full length)",
        f"training {m.training:7.1f} = states + activations {m.activations:.1f}"
        + ("" if m.asleep else " + engine weights"),
        f"rollouts {m.generating:7.1f} = states + engine",
    ]
    if gpus:
        fit = check_fit(config, shape, gpus)
        lines += [f"does not fit {gpus}: {fault}" for fault in fit.faults] or [f"fits {gpus}"]
        lines += [f"  {change}" for change in fit.advice]
    return "\n".join(lines)
