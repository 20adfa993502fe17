"""Runs that differ only in their seeds are one arm of the study."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.reports.compare.loading import ModelCounts, Run
from evals.sampling.settings import probe_config
from rlvr.algorithms import ALGORITHMS
from rlvr.config import registry
from rlvr.config.keys import covers, flattened

WRITTEN = {"reinforce_pp": "REINFORCE++", "remax": "ReMax", "passk": "Pass@k", "dr_grpo": "Dr. GRPO"}
# Keys in which the runs of one arm may differ.
FREE = ("recipe", "run_dir", "resume", "seed", "keep_last", "monitor")
# Differing keys that an arm's name may carry.
NAMED_KEYS = 2
# Letters of such a key's value.
BRIEF = 24


@dataclass(frozen=True, eq=False)
class Arm:
    """One algorithm under one configuration. runs: in the order of their seeds. index: its colour."""

    label: str
    index: int
    runs: tuple[Run, ...]

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(self.runs[0].tasks)

    @property
    def step(self) -> int:
        """The probed step that the arm's numbers are those of."""
        return self.runs[0].step

    @property
    def seeds(self) -> str:
        """'seeds 0, 1'."""
        plural = "s" if len(self.runs) > 1 else ""
        return f"seed{plural} {', '.join(str(run.seed) for run in self.runs)}"

    def bases(self, task: str) -> list[ModelCounts]:
        """One a run."""
        return [run.tasks[task].base for run in self.runs]

    def policies(self, task: str) -> list[ModelCounts]:
        """One a run, at the arm's step."""
        return [run.policy(task) for run in self.runs]

    def steps(self, task: str) -> list[int]:
        """Steps at which all of the runs were probed."""
        return sorted(set.intersection(*({*run.tasks[task].policy} for run in self.runs)))


@dataclass(frozen=True)
class Study:
    """All arms, in the order in which their first runs were given. k: the gap's K."""

    arms: tuple[Arm, ...]

    @property
    def k(self) -> int:
        return probe_config(self.arms[0].runs[0].config).k

    @property
    def runs(self) -> tuple[Run, ...]:
        return tuple(run for arm in self.arms for run in arm.runs)

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(task for arm in self.arms for task in arm.tasks))

    def on(self, task: str) -> tuple[Arm, ...]:
        """The arms that were probed on the task."""
        return tuple(arm for arm in self.arms if task in arm.tasks)

    def bases(self, task: str) -> dict[tuple[ModelCounts, ...], list[Arm]]:
        """The base's measurements on the task with the arms held against them: one of one, where all is
        well; several of an arm whose seeds sampled the base each for itself."""
        found: dict[tuple[ModelCounts, ...], list[Arm]] = {}
        for arm in self.on(task):
            found.setdefault(tuple(dict.fromkeys(arm.bases(task))), []).append(arm)
        return found

    def name(self, run: Run) -> str:
        """'GRPO seed 0'; with the directory where several runs are called so."""
        names = [(arm.label, one.seed) for arm in self.arms for one in arm.runs]
        arm = next(arm for arm in self.arms if run in arm.runs)
        short = f"{arm.label} seed {run.seed}"
        return short if names.count((arm.label, run.seed)) == 1 else f"{short} ({run.path})"


def make_study(runs: Sequence[Run]) -> Study:
    """Groups the runs into arms and names these."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(json.dumps(_identity(run), default=str), []).append(run)
    labels = _labels([group[0] for group in groups.values()])
    arms = [
        Arm(label, index, tuple(sorted(group, key=lambda run: run.seed)))
        for index, (label, group) in enumerate(zip(labels, groups.values(), strict=True))
    ]
    return Study(tuple(arms))


def title(algorithm: str) -> str:
    """An algorithm's name as it is written in papers: GRPO, or GRPO (verl)."""
    name = algorithm.removesuffix("_verl")
    written = WRITTEN.get(name, name.rpartition(":")[2].upper().replace("_", " "))
    return written if name == algorithm else f"{written} (verl)"


def configured(run: Run) -> dict[str, Any]:
    """The dotted keys of a run's configuration that its arm shares."""
    flat = flattened(run.config.model_dump(mode="json"))
    return {key: value for key, value in flat.items() if not covers(FREE, key)}


def _identity(run: Run) -> list[Any]:
    """What the runs of one arm share, so that they can be averaged problem by problem."""
    posed = [(task, *probed.base.posed, probed.base.origin.weights) for task, probed in run.tasks.items()]
    return [configured(run), run.step, posed]


def _labels(runs: Sequence[Run]) -> list[str]:
    """One an arm, of which `runs` are the first: the algorithm, and what tells it from others of it."""
    titles = [title(run.config.algorithm.name) for run in runs]
    labels = []
    for own, run in zip(titles, runs, strict=True):
        namesakes = [other for other, name in zip(runs, titles, strict=True) if name == own]
        labels.append(own if len(namesakes) == 1 else _telling(own, run, namesakes))
    return labels


def _telling(title: str, run: Run, namesakes: Sequence[Run]) -> str:
    """With the values of the few keys in which arms of one algorithm differ; else the recipe's name, or the
    title with a letter."""
    told = [{**configured(other), "step": other.step} for other in namesakes]
    keys = sorted({*told[0]}.union(*told[1:]))
    differing = [key for key in keys if len({json.dumps(one.get(key)) for one in told}) > 1]
    if "steps" in differing and "step" in differing:
        differing.remove("step")
    values = [[one.get(key) for key in differing] for one in told]
    own = namesakes.index(run)
    told_briefly = all(len(str(value)) <= BRIEF for one in values for value in one)
    if not (0 < len(differing) <= NAMED_KEYS and told_briefly) or values.count(values[own]) > 1:
        recipes = [Path(other.config.recipe).stem for other in namesakes]
        if recipes.count(recipes[own]) > 1:
            return f"{title} ({chr(ord('A') + own)})"
        (size, *others) = {recipe.rpartition("_")[2] for recipe in recipes}
        return recipes[own] if others else recipes[own].removesuffix(f"_{size}")
    parts = [_said(run, key, value) for key, value in zip(differing, values[own], strict=True)]
    told_of = ", ".join(filter(None, parts))
    return f"{title} ({told_of})" if told_of else title


def _said(run: Run, key: str, value: Any) -> str:
    """A key and its value in words: 'group_size 8', 'no cap'; nothing where there is none by default."""
    name = key.rpartition(".")[2]
    if value is not None:
        return f"{name} {value}"
    return "" if _default(run, key) is None else f"no {name}"


def _default(run: Run, key: str) -> Any:
    """The value of a dotted key of which a recipe says nothing; None where that is not known, too."""
    section, _, name = key.rpartition(".")
    algorithm = run.config.algorithm.name
    if key.startswith("algorithm.") and algorithm in ALGORITHMS:
        return flattened(registry.defaults(ALGORITHMS, algorithm)).get(key.removeprefix("algorithm."))
    place: Any = run.config
    for part in filter(None, section.split(".")):
        place = getattr(place, part, None)
    field = getattr(type(place), "model_fields", {}).get(name)
    return None if field is None else field.default
