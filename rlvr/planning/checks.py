"""Checks between keys of a configuration, and between it and this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rlvr.algorithms import build_algorithm
from rlvr.algorithms.bundle import Algorithm
from rlvr.config import registry
from rlvr.config.errors import ConfigError, Mistake
from rlvr.config.registry import PluginError
from rlvr.config.schema import Config
from rlvr.core.disk import unwritable
from rlvr.core.errors import UserError
from rlvr.graders.soundness import NONE
from rlvr.hooks.loading import factories
from rlvr.rollouts.playing.acting import is_own
from rlvr.rollouts.reward_functions import is_built_in, option_mistakes
from rlvr.tasks import TASKS, Task, TaskError, build_task
from rlvr.tasks.data.names import NAME as DATA


class PlaceError(UserError):
    """A directory that has to be written cannot be; the message says which, and why."""

    status = 2


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
    for key in ("model", "base", "teacher"):
        if (name := getattr(config, key)) is not None and _missing_directory(name):
            advice = "there is no such directory; or give a Hub id ORGANISATION/NAME, or embedded:countdown"
            mistakes.append(Mistake(key, name, advice))
    lora = config.policy.lora
    if lora is not None and config.policy.shards_weights and lora.quantized:
        advice = "ZeRO-3 cannot shard 4-bit weights: set policy.zero=2 or 0"
        mistakes.append(Mistake("policy.lora.quantized", True, advice))
    if config.engine.mode == "server" and config.engine.name != "vllm":
        advice = "only vllm has a server: set engine.name=vllm, or engine.mode=colocate"
        mistakes.append(Mistake("engine.mode", "server", advice))
    if config.rollouts.ahead and config.engine.name == "vllm" and config.engine.mode == "colocate":
        advice = (
            "vLLM in the training process gives its memory to the update and so cannot draw meanwhile: set "
            "engine.mode=server, or engine.name=hf, or rollouts.ahead=0"
        )
        mistakes.append(Mistake("rollouts.ahead", config.rollouts.ahead, advice))
    mistakes += _of_reasoning(config)
    return mistakes + [m for factory in factories(config.hooks) for m in factory.find_mistakes(config)]


def _of_reasoning(config: Config) -> list[Mistake]:
    """Where reasoning is paid for and nobody looks at it."""
    rewards = config.rewards
    given: dict[str, float | None] = {"unsound": rewards.unsound} if rewards.unsound is not None else {}
    given |= {key: getattr(rewards, key) for key in ("right_step", "wrong_step") if getattr(rewards, key)}
    if not given or _is_checked(config.task.name, config.task.options):
        return []
    advice = (
        f"nobody looks at the reasoning of task {config.task.name}: give task.soundness=steps (countdown) or "
        "task.soundness=arithmetic, or leave rewards.{name} out"
    )
    return [Mistake(f"rewards.{name}", value, advice.format(name=name)) for name, value in given.items()]


def _is_checked(name: str, options: Mapping[str, Any]) -> bool:
    """Whether a task may have a checker; a plug-in's is known only when it is built."""
    if name == "mixture":
        parts = [*options.get("tasks", ()), *(t for s in options.get("stages", ()) for t in s["tasks"])]
        return any(_is_checked(part["name"], part) for part in parts)
    if registry.is_plugin(TASKS, name):
        return "soundness" not in options or options["soundness"] != NONE
    known = registry.defaults(TASKS, name) | dict(options)
    return known.get("soundness", NONE) != NONE


def _missing_directory(model: str) -> bool:
    """Whether the name is a path, and not a Hub id, of a directory that does not exist."""
    hub_id = re.fullmatch(r"[\w-][\w.-]*(/[\w.-]+)?", model)
    return not hub_id and not model.startswith("embedded:") and not Path(model).is_dir()


def of_plugins(config: Config) -> list[Mistake]:
    """Functions and data of the user's own that cannot be used, found before torch is loaded."""
    mistakes = []
    for i, entry in enumerate(config.rewards.extra):
        if is_built_in(entry.reward):
            mistakes += option_mistakes(entry, f"rewards.extra[{i}]")
            continue
        takes = {"completion": "completion, reference, verdict", "row": "row"}.get(entry.takes, "rows")
        try:
            registry.check_takes(entry.reward, takes, entry.options)
        except PluginError as error:
            mistakes.append(Mistake(f"rewards.extra[{i}].reward", entry.reward, str(error)))
    if registry.is_plugin(TASKS, config.task.name) or config.task.name == DATA:
        try:
            mistakes += of_environments(config, build_task(config.task.name, **config.task.options))
        except (PluginError, TaskError) as error:
            key = "task.path" if config.task.name == DATA else "task.name"
            mistakes.append(Mistake(key, config.task.options.get("path", config.task.name), str(error)))
    return mistakes


def of_environments(config: Config, task: Task) -> list[Mistake]:
    """Where environments of the user's own would be called outside the main thread, the only one in which
    what they change of the process can be put back."""
    foreign = any(part.environment and not is_own(part.environment) for part in task.parts)
    if not (config.rollouts.ahead and foreign):
        return []
    advice = (
        f"task {task.name} has an environment of your own, whose calls cannot be made while a step is "
        "trained: give 0"
    )
    return [Mistake("rollouts.ahead", config.rollouts.ahead, advice)]


def of_algorithm(config: Config) -> list[Mistake]:
    """Settings that the configured algorithm cannot work with."""
    try:
        algorithm = build_algorithm(config.algorithm)
    except (ValueError, PluginError) as error:
        return [Mistake("algorithm", config.algorithm.name, str(error))]
    mistakes = []
    updates = config.optim.mini_batches * config.optim.epochs
    if updates > 1 and algorithm.policy_loss and not algorithm.policy_loss.uses_ratio:
        advice = (
            f"{algorithm.name} with this loss compares with no old policy, so a second update on the same "
            "batch would be wrong: set optim.mini_batches=1 and optim.epochs=1, or algorithm.loss=ppo_clip"
        )
        mistakes.append(Mistake("optim.mini_batches x optim.epochs", updates, advice))
    mistakes += of_age(config, algorithm)
    rewards = config.rewards
    given = rewards.right_step or rewards.wrong_step or rewards.turns or rewards.extra
    if algorithm.by_step and not given:
        advice = (
            "nothing is given for single steps: give rewards.wrong_step or rewards.right_step, rewards.turns "
            "for the turns of an episode, or a function in rewards.extra that gives numbers for tokens or "
            "for spans of the text"
        )
        mistakes.append(Mistake("algorithm.credit", "steps", advice))
    if algorithm.by_verdict and (control := config.rewards.control) not in (None, "shuffled"):
        advice = f"{algorithm.name} goes by verdicts, which this leaves as they are: give algorithm=grpo"
        mistakes.append(Mistake("rewards.control", control, advice))
    if algorithm.taught and config.teacher is None:
        advice = f"{algorithm.name} learns from a teacher: give teacher=MODEL, as model= is given"
        mistakes.append(Mistake("teacher", None, advice))
    if config.teacher is not None and not algorithm.taught:
        advice = f"{algorithm.name} asks no teacher: leave it out, or give algorithm=opd"
        mistakes.append(Mistake("teacher", config.teacher, advice))
    if algorithm.kl.resets and config.policy.lora is not None:
        advice = (
            "the reference of a policy with adapters is the policy without them, which has no weights of its "
            "own to reset: train whole weights, or leave algorithm.kl.reset_every and reset_above out"
        )
        mistakes.append(Mistake("policy.lora", config.policy.lora.rank, advice))
    size = config.rollouts.group_size
    if size < algorithm.smallest_group:
        advice = f"{algorithm.name} needs {algorithm.smallest_group} or more completions per problem"
        mistakes.append(Mistake("rollouts.group_size", size, advice))
    return mistakes


def of_age(config: Config, algorithm: Algorithm) -> list[Mistake]:
    """Where samples would be older than the algorithm takes them, or nothing corrects for their age."""
    ahead, most = config.rollouts.ahead, algorithm.most_ahead
    if ahead > most:
        allowed = f"at most {most}" if most else "0 (Algorithm.most_ahead says what an algorithm takes)"
        advice = f"{algorithm.name} takes no samples that weights so many steps older drew: give {allowed}"
        return [Mistake("rollouts.ahead", ahead, advice)]
    if ahead and (by := config.rollouts.correction.by) != "truncate":
        advice = (
            f"with rollouts.ahead={ahead} older weights draw, and no loss knows of it: its ratio, where it "
            "has one, is to the weights before the update. Set rollouts.correction.by=truncate"
        )
        return [Mistake("rollouts.correction.by", by, advice)]
    return []


def launch_stage_mistake(config: Config, environ: Mapping[str, str]) -> list[Mistake]:
    """Where `accelerate launch` was told another ZeRO stage than the recipe's.

    environ: as the launcher left it. A launch file without DeepSpeed, or without a stage, contradicts only a
    recipe that runs without DeepSpeed.
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
    needs: list[tuple[str, object, bool, str, str]] = [
        ("engine.name", config.engine.name, config.engine.name == "vllm", "vllm", "vllm"),
        ("engine.mode", config.engine.mode, config.engine.mode == "server", "trl", "vllm"),
        ("policy.zero", config.policy.zero, config.policy.zero > 0, "deepspeed", "deepspeed"),
    ]
    lora = config.policy.lora
    if config.optim.name != "adamw":
        needs.append(("optim.name", config.optim.name, True, "bitsandbytes", "qlora"))
    if lora is not None and lora.quantized:
        needs.append(("policy.lora.quantized", True, True, "bitsandbytes", "qlora"))
    for key, value, needed, package, extra in needs:
        if needed and find_spec(package) is None:
            advice = f"needs the package {package}, which is not installed: pip install 'rlvr[{extra}]'"
            mistakes.append(Mistake(key, value, advice))
    if mistakes:
        raise ConfigError(f"recipe {config.recipe}", mistakes)


def check_places(config: Config) -> None:
    """Raises PlaceError where the run directory or the store cannot be written, before anything is loaded."""
    from rlvr.core.shards import store_root  # imports pyarrow

    places = {f"run_dir={config.run_dir}": Path(config.run_dir)}
    if not (root := store_root()).is_dir():  # one that is read-only may have all that is asked for
        places[f"the store {root} ($RLVR_STORE)"] = root
    if wrong := [f"{name}: {why}" for name, place in places.items() if (why := unwritable(place))]:
        raise PlaceError("\n".join(wrong) + "\nGive a place that this user can write to.")
