"""The probe as a hook: its section of the configuration, its checks, its cost, and what builds it.

Imports nothing heavy, so that a recipe is checked in an instant.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from evals.records.probe_dir import RECORDS, ProbeDir
from evals.sampling.settings import ProbeConfig, ProbedTask, longest_completion, probe_config
from rlvr.config.errors import ConfigError, Mistake
from rlvr.config.registry import PluginError, family, is_plugin
from rlvr.config.schema import Config
from rlvr.core.run_dir import RunDir
from rlvr.hooks import CheckpointHook, HookFactory, RunContext
from rlvr.tasks import TASKS, Task, TaskError, build_task
from rlvr.tasks.data.names import NAME as DATA
from rlvr.tasks.overlap import copies, trained_on, without_copies
from rlvr.tasks.sources import without_hub

if TYPE_CHECKING:
    from rich.console import RenderableType

# The share of what a run draws itself above which its probe is called expensive.
EXPENSIVE = 0.2
# Runs that a study has at least, for the share of the base's samples: arXiv 2504.13837 has six algorithms.
STUDY = 6


def probed_task(choice: ProbedTask) -> Task:
    """The task with the problems that are probed as its test problems. Raises TaskError."""
    task = build_task(choice.name, **choice.options)
    if choice.split == "test":
        return task
    return replace(task, name=f"{task.name}/{choice.split}", test=task.train)


def probed_tasks(config: Config) -> list[Task]:
    """Every task of `probe.tasks`. Raises TaskError, and ConfigError where two are one task."""
    tasks = [probed_task(choice) for choice in probe_config(config).tasks]
    names = [task.name for task in tasks]
    if twice := {name for name in names if names.count(name) > 1}:
        advice = "is one task under two names: give each task once"
        raise ConfigError("the probe", [Mistake("probe.tasks", ", ".join(sorted(twice)), advice)])
    return _uncontaminated(config, tasks) if probe_config(config).drop_contaminated else tasks


def _uncontaminated(config: Config, tasks: Sequence[Task]) -> list[Task]:
    """Without test problems that are copies of training problems. Raises ConfigError where none is left."""
    trained = build_task(config.task.name, **config.task.options)
    kept, mistakes = [], []
    for i, (choice, task) in enumerate(zip(probe_config(config).tasks, tasks, strict=True)):
        clean = task if choice.split == "train" else without_copies(trained, task)
        if not len(clean.test):
            advice = "all of its problems are copies of training problems: nothing is left to probe"
            mistakes.append(Mistake(f"probe.tasks[{i}]", choice.label, advice))
        kept.append(clean)
    if mistakes:
        raise ConfigError(f"recipe {config.recipe}", mistakes)
    return kept


def check_tasks(config: Config, trained: Task, tasks: Sequence[Task]) -> None:
    """Raises ConfigError where problems that are probed as test problems are trained on."""
    mistakes = []
    for i, (choice, task) in enumerate(zip(probe_config(config).tasks, tasks, strict=True)):
        shared = trained_on(trained, task) if choice.split == "test" else []
        if shared:
            shown = ", ".join(shared[:5]) + (", ..." if len(shared) > 5 else "")
            advice = (
                f"{len(shared)} of its {len(task.test)} problems may be trained on (ids {shown}): give it "
                "the keys that task.* has, so that both are split alike, or `split: train` to probe what "
                "is trained on"
            )
            mistakes.append(Mistake(f"probe.tasks[{i}]", choice.label, advice))
        elif choice.split == "test" and (near := [copy.problem for copy in copies(trained, task)]):
            warnings.warn(
                f"probe.tasks[{i}] {choice.label}: {len(near)} of its {len(task.test)} problems are copies "
                f"of a training problem in other spelling (ids {', '.join(near[:5])})",
                stacklevel=2,
            )
    if mistakes:
        raise ConfigError(f"recipe {config.recipe}", mistakes)


def find_mistakes(config: Config) -> list[Mistake]:
    """Mistakes between keys of the section `probe`."""
    probe = probe_config(config)
    names = [task.label for task in probe.tasks]
    mistakes = []
    if len(set(names)) < len(names):
        mistakes.append(Mistake("probe.tasks", names, "each task once: its files are named after it"))
    if "mixture" in names:
        advice = "a mixture has no problems to test on: list its tasks"
        mistakes.append(Mistake("probe.tasks", "mixture", advice))
    for i, choice in enumerate(probe.tasks):
        if is_plugin(TASKS, choice.name) or choice.name == DATA:
            try:
                probed_task(choice)
            except (PluginError, TaskError) as error:
                mistakes.append(Mistake(f"probe.tasks[{i}]", choice.name, str(error)))
    return mistakes + settings_mistakes(probe, len(probe.tasks))


def settings_mistakes(probe: ProbeConfig, tasks: int) -> list[Mistake]:
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


def build(context: RunContext) -> CheckpointHook | None:
    """The probe, or what leaves its work to another process; None where no task is probed."""
    from evals.probe.detached import DetachedProbe
    from evals.probe.hook import Probe
    from evals.sampling.instrument import Instrument

    config, run_dir = probe_config(context.config), ProbeDir(context.run_dir.path)
    if not config.tasks:
        return None
    if config.mode == "detached":
        return DetachedProbe(context.config, run_dir, context.console)
    tokens = longest_completion(context.config)
    return Probe(
        instrument=Instrument(config, context.tokenizer, tokens, context.console),
        tasks=context.tasks,
        run_dir=run_dir,
        base=context.base,
        open_base=lambda: context.open_engine(context.base),
        save_every=context.config.save_every,
        begins_after=context.begins_after,
        copied=copied_problems(context.config, context.tasks),
        control=context.config.rewards.control,
    )


def copied_problems(config: Config, tasks: Sequence[Task]) -> dict[str, set[str]]:
    """By task that is measured, the ids of test problems that are copies of training problems; empty where
    another trainer trained on data that is not known here."""
    if family(config.task.name) not in TASKS and not is_plugin(TASKS, config.task.name):
        return {}
    trained = build_task(config.task.name, **config.task.options)
    return {
        task.name: {copy.problem for copy in copies(trained, task)}
        for task in tasks
        if not task.name.endswith("/train")
    }


def closing(run_dir: RunDir) -> list[RenderableType]:
    """The gap table of a finished run, and how many checkpoints wait to be probed."""
    from evals.probe.jobs import failed, pending
    from evals.records.gap_record import read_records
    from evals.reports.gap_table import gap_table

    here = ProbeDir(run_dir.path)
    records = read_records(here.probe)
    shown: list[RenderableType] = [gap_table(records)] if records else []
    if waiting := len(pending(here)):
        shown.append(f"{waiting} checkpoint(s) wait for: python -m evals probe run={here.path}")
    if aside := len(failed(here)):
        again = f"python -m evals probe run={here.path} retry=true"
        shown.append(f"{aside} failed, see {here.jobs}/failed: {again}")
    return shown


def plan(config: Config) -> str:
    """How many samples the probe draws, and what share of all samples that is."""
    probe = probe_config(config)
    if not probe.tasks:
        return "no probe: probe.tasks is empty"
    between = _between(config)
    of_policy = between * probe.n + probe.final_n
    lines, problems, unknown = [], 0, False
    for choice in probe.tasks:
        count = _problems(probe, choice)
        unknown |= count is None
        problems += count or 0
        shown = "an unknown number of" if count is None else f"{count:,}"
        lines.append(f"{choice.label}: {shown} problems x {probe.base_n + of_policy:,} samples")
    lines.append(
        f"samples per problem: base {probe.base_n} once, {between} checkpoint(s) x {probe.n}, "
        f"the last {probe.final_n}"
    )
    if probe.stop_r or probe.base_stop_r:
        lines.append("fewer where a problem stops at its r-th success (probe.stop_r, probe.base_stop_r)")
    least = "at least " if unknown else ""
    return "\n".join([*lines, *_share(config, problems * of_policy, problems * probe.base_n, least)])


def samples(config: Config) -> int:
    """Samples that the probe draws in all, as far as the number of problems is known."""
    probe = probe_config(config)
    each = probe.base_n + _between(config) * probe.n + probe.final_n
    return sum(each * (_problems(probe, choice) or 0) for choice in probe.tasks)


def _between(config: Config) -> int:
    """Checkpoints that are probed before the last."""
    checkpoints = -(-config.steps // config.save_every)
    return len([i for i in range(1, checkpoints) if i % probe_config(config).every == 0])


def _share(config: Config, of_policy: int, of_base: int, least: str) -> Sequence[str]:
    """What the probe's samples of the policy, and of the base, are of all that is drawn."""
    trained = config.steps * config.rollouts.prompts * config.rollouts.group_size
    own = of_policy / (of_policy + trained)
    first, shared = ((n := of_policy + of_base / runs) / (n + trained) for runs in (1, STUDY))
    lines = [
        f"{least}{of_policy:,} samples of the policy are {least}{own:.0%} of what the run draws",
        f"{least}{of_base:,} of the base are drawn once for all runs that share the store: with them "
        f"{least}{first:.0%}, or {least}{shared:.0%} where {STUDY} runs share them",
    ]
    if own > EXPENSIVE:
        lines.append(
            f"warning: above {EXPENSIVE:.0%}; lower probe.final_n, probe.n or probe.max_problems, or raise "
            "probe.every (docs/recipes.md shows what that does to the intervals)"
        )
    return lines


def _problems(probe: ProbeConfig, choice: ProbedTask) -> int | None:
    """Problems probed of a task; as published where its data is unavailable, None if unknown."""
    try:
        with without_hub():
            count = len(probed_task(choice).test)
    except TaskError:
        from rlvr.tasks import math
        from rlvr.tasks.programs import evalplus

        published = (math.PUBLISHED_PROBLEMS | evalplus.PUBLISHED_PROBLEMS).get(choice.label)
        if published is None:
            return probe.max_problems
        count = published
    return min(count, probe.max_problems or count)


def _longest(config: Config) -> int:
    return longest_completion(config) if probe_config(config).tasks else 0


PROBE = HookFactory(
    build=build,
    name="probe",
    section=ProbeConfig,
    find_mistakes=find_mistakes,
    tasks=probed_tasks,
    check_tasks=check_tasks,
    longest=_longest,
    samples=samples,
    plan=plan,
    closing=closing,
    records=(RECORDS,),
    record_keys=("step", "task"),
)
