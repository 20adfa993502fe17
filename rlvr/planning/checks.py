"""What only shows when several keys of a configuration are held together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec

from rlvr.algorithms import build_algorithm
from rlvr.config.errors import ConfigError, Mistake
from rlvr.config.schema import Config, ProbeConfig


def across_keys(config: Config, world_size: int) -> list[Mistake]:
    """Mistakes between keys that need no algorithm. world_size: the number of training processes."""
    mistakes = []
    parts = world_size * config.optim.mini_batches
    if config.rollouts.prompts % parts:
        fits = max(parts, round(config.rollouts.prompts / parts) * parts)
        advice = (
            f"must divide into {world_size} process(es) x {config.optim.mini_batches} mini-batch(es): "
            f"the nearest that does is {fits}"
        )
        mistakes.append(Mistake("rollouts.prompts", config.rollouts.prompts, advice))
    if config.rollouts.top_p < 1 and not config.rollouts.allow_top_p:
        advice = (
            "training samples would not come from the distribution whose log-probs are compared, which "
            "biases every ratio: set it to 1, or rollouts.allow_top_p=true if that is what you want"
        )
        mistakes.append(Mistake("rollouts.top_p", config.rollouts.top_p, advice))
    names = [task.label for task in config.probe.tasks]
    if len(set(names)) < len(names):
        mistakes.append(Mistake("probe.tasks", names, "each task once: its files are named after it"))
    if "mixture" in names:
        advice = "a mixture has no problems to test on: list its tasks"
        mistakes.append(Mistake("probe.tasks", "mixture", advice))
    lora = config.policy.lora
    if lora is not None and config.policy.zero == 3 and lora.quantized:
        advice = "ZeRO-3 cannot shard 4-bit weights: set policy.zero=2 or 0"
        mistakes.append(Mistake("policy.lora.quantized", True, advice))
    if config.engine.mode == "server" and config.engine.name != "vllm":
        advice = "only vllm has a server: set engine.name=vllm, or engine.mode=colocate"
        mistakes.append(Mistake("engine.mode", "server", advice))
    return mistakes + of_probe(config.probe, len(config.probe.tasks))


def of_probe(probe: ProbeConfig, tasks: int) -> list[Mistake]:
    """Settings of a probe of so many tasks that contradict each other."""
    mistakes = []
    if tasks and probe.base_n < probe.k:
        advice = f"the gap needs the base's pass@{probe.k}: give probe.k or more"
        mistakes.append(Mistake("probe.base_n", probe.base_n, advice))
    if probe.mode == "detached" and (probe.watch.stops or probe.watch.keep_best):
        advice = "training does not see what a detached probe measures: set probe.mode=live"
        mistakes.append(Mistake("probe.watch", "patience, max_coverage_lost or keep_best", advice))
    watches_coverage = probe.watch.by == "coverage_lost" or probe.watch.max_coverage_lost is not None
    if watches_coverage and min(probe.final_n, probe.k) != min(probe.n, probe.k):
        advice = f"coverage is watched at one k: give probe.n, which is {probe.n}, or both {probe.k} or more"
        mistakes.append(Mistake("probe.final_n", probe.final_n, advice))
    if probe.watch.stops and not tasks:
        mistakes.append(Mistake("probe.watch", "patience or max_coverage_lost", "needs probe.tasks"))
    return mistakes


def of_algorithm(config: Config) -> list[Mistake]:
    """Settings that the configured algorithm cannot work with."""
    try:
        algorithm = build_algorithm(config.algorithm)
    except ValueError as error:
        return [Mistake("algorithm", config.algorithm.name, str(error))]
    mistakes = []
    updates = config.optim.mini_batches * config.optim.epochs
    if updates > 1 and not algorithm.policy_loss.uses_ratio:
        advice = (
            f"{algorithm.name} with this loss compares with no old policy, so a second update on the same "
            "batch would be wrong: set optim.mini_batches=1 and optim.epochs=1, or algorithm.loss=ppo_clip"
        )
        mistakes.append(Mistake("optim.mini_batches x optim.epochs", updates, advice))
    size = config.rollouts.group_size
    if size < algorithm.smallest_group:
        advice = f"{algorithm.name} needs {algorithm.smallest_group} or more completions a problem"
        mistakes.append(Mistake("rollouts.group_size", size, advice))
    return mistakes


def launch_stage_mistake(config: Config, environ: Mapping[str, str]) -> list[Mistake]:
    """Where `accelerate launch` was told another ZeRO stage than the recipe's.

    environ: as the launcher left it. A launch file that leaves DeepSpeed out, or its stage, contradicts
    nothing but a recipe that is to run without.
    """
    if environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() != "true":
        return []
    zero = config.policy.zero
    if file := environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE"):
        advice = (
            f"the launch file names a DeepSpeed configuration, {file}, which would not be read: the run "
            "makes its own from the recipe. Take deepspeed_config_file out of the launch file"
        )
        return [Mistake("policy.zero", zero, advice)]
    stage = environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE")
    if stage == str(zero) or (stage is None and zero):
        return []
    launched = "with DeepSpeed" if stage is None else f"with ZeRO stage {stage}"
    fits = f"policy.zero={stage} or " if stage in ("2", "3") else ""
    file = f"launch/*_zero{zero}.yaml" if zero else "launch/gpu1.yaml"
    advice = f"`accelerate launch` was started {launched}: give {fits}a launch file for this stage ({file})"
    return [Mistake("policy.zero", zero, advice)]


def check_support(config: Config) -> None:
    """Raises ConfigError for packages that the configuration needs and this machine lacks, and for a
    launch with another ZeRO stage than the recipe's."""
    mistakes = launch_stage_mistake(config, os.environ)
    needs = [
        ("engine.name", config.engine.name, config.engine.name == "vllm", "vllm", "vllm"),
        ("engine.mode", config.engine.mode, config.engine.mode == "server", "trl", "vllm"),
        ("policy.zero", config.policy.zero, config.policy.zero > 0, "deepspeed", "deepspeed"),
    ]
    lora = config.policy.lora
    if lora is not None and lora.quantized:
        needs.append(("policy.lora.quantized", True, True, "bitsandbytes", "qlora"))
    for key, value, needed, package, extra in needs:
        if needed and find_spec(package) is None:
            advice = f"needs the package {package}, which is not installed: pip install 'rlvr[{extra}]'"
            mistakes.append(Mistake(key, value, advice))
    if mistakes:
        raise ConfigError(f"recipe {config.recipe}", mistakes)
