"""--dry-run: what a recipe resolves to and costs, without its weights, its data or a hub."""

from __future__ import annotations

import time

from omegaconf import OmegaConf

from rlvr.config.errors import ConfigError, Mistake
from rlvr.config.schema import Config
from rlvr.graders import Status, Verdict
from rlvr.hooks.loading import factories
from rlvr.planning import memory
from rlvr.planning.advice import Gpus, check_fit
from rlvr.planning.cost import cost
from rlvr.planning.shape import known_shape
from rlvr.rollouts.reward_functions import Raised, Row, copied, load_functions, worth
from rlvr.tasks import TaskError, build_task
from rlvr.tasks.data.names import NAME as DATA


def describe(config: Config, processes: int, gpus: Gpus | None = None) -> str:
    """The resolved configuration, the batch arithmetic, the probe's share and a memory estimate, held
    against the GPUs where they are given."""
    resolved = OmegaConf.to_yaml(OmegaConf.create(config.model_dump(mode="json")))
    parts = [
        f"# resolved configuration\n{resolved.rstrip()}",
        *([f"# data\n{_data(config)}"] if config.task.name == DATA else []),
        f"# batch arithmetic\n{_batch(config, processes)}",
        *(
            f"# {factory.name}\n{text}"
            for factory in factories(config.hooks)
            if (text := factory.plan(config))
        ),
        *([f"# reward functions\n{_rewards(config)}"] if config.rewards.extra else []),
        f"# memory per GPU\n{_memory(config, processes, gpus)}",
        *([f"# time and cost\n{_cost(config, gpus)}"] if gpus else []),
    ]
    return "\n\n".join(parts)


def fits(config: Config, gpus: Gpus) -> bool:
    """Whether the memory estimate fits on the GPUs; True where nothing is known of the model."""
    shape, _ = known_shape(config)
    return shape is None or not check_fit(config, shape, gpus).faults


def _cost(config: Config, gpus: Gpus) -> str:
    shape, _ = known_shape(config)
    return (
        cost(config, shape, gpus.count, gpus.gib) if shape else "not estimated: the model's shape is unknown"
    )


def _data(config: Config) -> str:
    """What is trained on. Raises DataError."""
    task = build_task(DATA, **config.task.options)
    counts = f"{task.name}: {len(task.train):,} to train on, {len(task.test):,} to test"
    return "\n".join([counts, *task.notes, "rlvr data task=... shows prompts and references"])


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


def _rewards(config: Config) -> str:
    """What each reward function gives for two made-up completions. Raises ConfigError."""
    try:
        task = build_task(config.task.name, **config.task.options)
    except TaskError as error:
        return f"not called, without data there is no reference: {error}"
    problem = next((part.train[0] for part in task.parts if len(part.train)), None)
    if problem is None:
        return f"not called: {task.name} has no problems to train on"
    lines, mistakes = [], []
    for i, function in enumerate(load_functions(config.rewards)):
        reference, columns = copied(problem.reference, problem.columns)
        verdict = Verdict(Status.WRONG, 0.0, "0")
        rows = [
            Row(
                problem.id,
                problem.prompt,
                text,
                4,
                False,
                reference,
                verdict,
                0,
                columns,
                logprob=-4.0,
                token_ids=(0, 1, 2, 3),
            )
            for text in ("A made-up completion: 0", "Another one: 0")
        ]
        began = time.perf_counter()
        given = function.values(rows)
        seconds = time.perf_counter() - began
        for value, row in zip(given, rows, strict=True):
            if worth(value, function.settings.weight, row) is None:
                said = value.text if isinstance(value, Raised) else f"returned {value!r}"
                advice = f"called with problem {problem.id} and a made-up completion: {said}"
                mistakes.append(Mistake(f"rewards.extra[{i}].reward", function.settings.reward, advice))
                break
        said = ", ".join(map(str, given))
        lines.append(f"{function.name}: {said} for two made-up completions, in {seconds:.2f} s")
    if mistakes:
        raise ConfigError(f"recipe {config.recipe}", mistakes)
    return "\n".join(lines)


def _memory(config: Config, processes: int, gpus: Gpus | None) -> str:
    shape, source = known_shape(config)
    if shape is None:
        return f"not estimated: {config.model} is not here, and the recipe gives no policy.shape"
    m = memory.estimate(config, shape, processes, gpus.gib if gpus else None)
    lora = config.policy.lora
    trained = f"LoRA of rank {lora.rank}" if lora else "every weight trained"
    lines = [
        f"{memory.parameters(shape):,} parameters ({source}), {trained}, {config.policy.dtype}, "
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
