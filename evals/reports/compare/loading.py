"""Run directories read back: what was configured, trained and measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from evals.estimators.counts import Counts
from evals.estimators.soundness import SoundCounts
from evals.records.conditions import Conditions, ConditionsError, check_comparable
from evals.records.files import CountsFile, FileError, Origin, counts_file, read_counts
from evals.records.probe_dir import RECORDS, ProbeDir
from evals.reports.perplexity_report import Median
from evals.sampling.settings import probe_config
from rlvr.config.errors import ConfigError, Mistake
from rlvr.config.schema import Config
from rlvr.core.records import RecordError, read_jsonl, read_object
from rlvr.planning.recipe import saved_config

# Where in a run directory the perplexities are looked for.
PERPLEXITY = Path("perplexity") / "perplexity.jsonl"


@dataclass(frozen=True, eq=False)
class ModelCounts:
    """The base or a policy on one task. sound, soundness: right answers by what a checker of this version
    said of the reasoning, None where nobody looked."""

    problems: tuple[str, ...]
    counts: Counts
    conditions: Conditions
    origin: Origin
    sound: SoundCounts | None = None
    soundness: str | None = None

    @cached_property
    def soundly(self) -> ModelCounts | None:
        """The same measurement with right answers counted only where no wrong step was found."""
        return None if self.sound is None else replace(self, counts=self.sound.sound)

    def __eq__(self, other: object) -> bool:
        """Whether it is the same measurement: the same weights, asked alike, with the same counts."""
        return isinstance(other, ModelCounts) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @cached_property
    def _identity(self) -> tuple[Any, ...]:
        counts = self.counts
        return (
            self.posed, self.origin.weights, counts.stop_r, tuple(counts.n), tuple(counts.correct),
        )  # fmt: skip

    @property
    def posed(self) -> tuple[Conditions, tuple[str, ...]]:
        """What two sides must share to be compared problem by problem."""
        return self.conditions, self.problems


@dataclass(frozen=True)
class TaskProbe:
    """A run's measurements on one task. policy: by step of training, the base's step 0 left out."""

    base: ModelCounts
    policy: Mapping[int, ModelCounts]


@dataclass(frozen=True, eq=False)
class Run:
    """One run directory. metrics: one object a step; records: the objects of probe.jsonl; tasks: by name;
    perplexities: medians by task, empty where none were computed."""

    path: Path
    config: Config
    card: Mapping[str, Any]
    finished: bool
    metrics: Sequence[Mapping[str, Any]]
    records: Sequence[Mapping[str, Any]]
    tasks: Mapping[str, TaskProbe]
    perplexities: Mapping[str, Sequence[Median]]

    @property
    def seed(self) -> int:
        return self.config.seed

    @property
    def step(self) -> int:
        """The last step that every task was probed at; the run's numbers are those of it."""
        return max(set.intersection(*({*probed.policy} for probed in self.tasks.values())))

    @property
    def perplexity_step(self) -> int | None:
        """The last step whose responses have perplexities; None without any."""
        medians = [median for own in self.perplexities.values() for median in own]
        return max((median.step for median in medians if median.step is not None), default=None)

    @property
    def trained(self) -> int:
        """Steps that were trained; of a run that logged none, those that are known of by its checkpoints."""
        return max((row["step"] for row in self.metrics or self.records), default=0)

    def policy(self, task: str) -> ModelCounts:
        """The measurement at the last step."""
        return self.tasks[task].policy[self.step]


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """Raises ConfigError with everything that is wrong with any of the directories."""
    runs: list[Run] = []
    mistakes: list[Mistake] = []
    for path in paths:
        try:
            runs.append(read_run(path))
        except (ConfigError, FileError, RecordError, ConditionsError) as error:
            mistakes += getattr(error, "mistakes", [Mistake(str(path), None, str(error))])
    if len(ks := {probe_config(run.config).k for run in runs}) > 1:
        given = ", ".join(f"{probe_config(run.config).k} in {run.path}" for run in runs)
        advice = (
            f"the gap is measured at one K, these runs have {sorted(ks)} ({given}): compare those with the "
            "same K, or probe their checkpoints again with python -m evals probe"
        )
        mistakes.append(Mistake("probe.k", None, advice))
    if mistakes:
        raise ConfigError("compare", mistakes)
    return runs


def read_run(path: Path) -> Run:
    """Raises ConfigError where there is no run or no probe; FileError or ConditionsError for bad files."""
    here = ProbeDir(path)
    config = _read_config(here)
    records = read_jsonl(here.probe, "step", "task", once=["step", "task"])
    tasks = _read_tasks(here, records)
    return Run(
        path=path,
        config=config,
        card=_read_json(here.card),
        finished=_read_json(here.finished).get("steps") == config.steps,
        metrics=read_jsonl(here.metrics, "step", once=["step"]),
        records=records,
        tasks=tasks,
        perplexities=_read_perplexities(path / PERPLEXITY),
    )


def _read_config(here: ProbeDir) -> Config:
    try:
        return saved_config(here.config)
    except OSError:
        advice = f"is no run directory: there is no {here.config.name} in it"
    except (ConfigError, RecordError) as error:
        advice = f"its {here.config.name} cannot be read by this version: {error}"
    raise ConfigError("compare", [Mistake(str(here.path), None, advice)])


def _read_json(path: Path) -> dict[str, Any]:
    """Empty where there is no file."""
    return read_object(path, remedy="restore it or take the run out") if path.exists() else {}


def _read_tasks(here: ProbeDir, records: Sequence[Mapping[str, Any]]) -> dict[str, TaskProbe]:
    """By name, in the order in which they were probed."""
    steps: dict[str, list[int]] = {}
    for record in records:
        own = steps.setdefault(record["task"], [])
        if record["step"] > 0:
            own.append(record["step"])
    if not steps or not set.intersection(*(set(own) for own in steps.values())):
        advice = (
            "no checkpoint was probed on all tasks, so there is nothing to compare: let the run go on to its "
            "first probe, take up its jobs with python -m evals probe run=..., or leave it out"
        )
        raise ConfigError("compare", [Mistake(str(here.path), None, advice)])
    hashes = {(row["task"], row["step"]): row.get("policy_hash") for row in records}
    return {task: _read_probed(here, task, own, hashes) for task, own in steps.items()}


def _read_probed(
    here: ProbeDir, task: str, steps: Sequence[int], hashes: Mapping[tuple[str, int], str | None]
) -> TaskProbe:
    """hashes: of the policies' weights, by task and step, as the records have them."""
    base = _read_side(counts_file(here.base, task))
    policy = {
        step: _read_side(counts_file(here.of_step(step), task), hashes[task, step]) for step in sorted(steps)
    }
    for side in policy.values():
        check_comparable(base.conditions, side.conditions)
    return TaskProbe(base, policy)


def _read_side(path: Path, weights: str | None = None) -> ModelCounts:
    """weights: the hash of those that it must be of. Raises FileError."""
    measured: CountsFile = read_counts(path)
    if measured.conditions is None or measured.origin is None:
        raise FileError(f"{path} does not say how it was measured: it was not written by the probe")
    if weights is not None and measured.origin.weights != weights:
        raise FileError(
            f"{path} is of the weights {measured.origin.weights}, and {RECORDS} says {weights}: it was moved "
            "or is of another probe. Put the right one there, or remove both and probe the checkpoint again"
        )
    return ModelCounts(
        measured.problems,
        measured.counts,
        measured.conditions,
        measured.origin,
        measured.sound,
        measured.soundness,
    )


def _read_perplexities(path: Path) -> dict[str, list[Median]]:
    medians: dict[str, list[Median]] = {}
    for number, row in enumerate(read_jsonl(path, "task"), start=1):
        try:
            medians.setdefault(row.pop("task"), []).append(Median(**row))
        except (KeyError, TypeError) as error:
            raise FileError(
                f"{path}, line {number}: {error}; make the file again: python -m evals perplexity"
            ) from None
    return medians
