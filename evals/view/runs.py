"""The runs that are shown: which there are, and what their records say, read by the records' own readers."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from evals.records.files import BASE_FOLDER
from evals.records.gap_record import GapRecord, read_records
from evals.records.probe_dir import ProbeDir
from evals.records.samples import SAMPLES_SUFFIX
from rlvr.core.errors import UserError
from rlvr.core.records import read_jsonl, read_object
from rlvr.tracking.kept_rollouts import kept_files
from rlvr.tracking.monitor import WARNINGS, beyond

# Points of a curve that are sent at most.
POINTS = 400
# What a directory has, of which one makes it a run or a directory of `evals probe`.
SIGNS = ("config.json", "metrics.jsonl", "probe.jsonl", "probes")
# The step of a directory of `evals probe`, which has no steps.
NO_STEP = -1

T = TypeVar("T")


class NoSuchError(UserError):
    """What a page asks for is not among what is shown; the message says what is."""


@dataclass
class Library:
    """The runs below some places: each a run's directory, or one that holds several."""

    places: Sequence[Path]
    _known: dict[tuple[str, Path], tuple[Any, Any]] = field(default_factory=dict)

    def paths(self) -> dict[str, Path]:
        """By name, which is the path as it was given. Places without a run are among them."""
        found: dict[str, Path] = {}
        for place in self.places:
            below = sorted(p for p in place.glob("*") if is_run(p)) if place.is_dir() else []
            for path in [place] if is_run(place) or not below else below:
                found[str(path)] = path
        return found

    def path(self, name: str) -> Path:
        """Raises NoSuchError."""
        paths = self.paths()
        if name not in paths:
            raise NoSuchError(f"no run {name!r} is shown here; these are: {', '.join(paths) or 'none'}")
        return paths[name]

    def listed(self) -> list[dict[str, Any]]:
        """A line for each run; of one that cannot be read, why."""
        return [{"name": name, **self._line(path)} for name, path in self.paths().items()]

    def _line(self, path: Path) -> dict[str, Any]:
        try:
            return {"error": None, **self.about(path)}
        except (UserError, OSError, ValueError, TypeError, KeyError) as error:
            return {"error": f"{error}"}

    def about(self, path: Path) -> dict[str, Any]:
        """What a run is and how far it has come. Raises UserError, OSError."""
        if not path.is_dir():
            raise NoSuchError(f"there is no such directory: {path}")
        if not is_run(path):
            raise NoSuchError(f"{path} holds no run: it has none of {', '.join(SIGNS)}")
        here = ProbeDir(path)
        config = self._kept("config", here.config, read_object) if here.config.exists() else {}
        metrics, records = self.metrics(path), self.records(path)
        step = metrics[-1]["step"] if metrics else max((r.step for r in records), default=0)
        return {
            "step": step,
            "steps": config.get("steps"),
            "finished": here.finished.exists(),
            "task": _name(config.get("task")) or ", ".join(dict.fromkeys(r.task for r in records)),
            "algorithm": _name(config.get("algorithm")),
            "model": config.get("model"),
            "seed": config.get("seed"),
            "changed": max(
                (p.stat().st_mtime for p in (here.metrics, here.probe) if p.exists()), default=None
            ),
            "gap": records[-1].gap if records else None,
        }

    def metrics(self, path: Path) -> list[dict[str, Any]]:
        """One object a step. Raises RecordError."""
        return self._kept("metrics", ProbeDir(path).metrics, lambda p: read_jsonl(p, "step", once=["step"]))

    def records(self, path: Path) -> list[GapRecord]:
        """Raises RecordError, FileError."""
        return self._kept("records", ProbeDir(path).probe, read_records)

    def run(self, path: Path) -> dict[str, Any]:
        """All of a run's own page. Raises UserError, OSError."""
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            about, metrics, records = self.about(path), self.metrics(path), self.records(path)
        here = ProbeDir(path)
        limits = read_object(here.config).get("monitor", {}) if here.config.exists() else {}
        return {
            **about,
            "curves": {**curves(metrics), **gap_curves(records)},
            "records": [record_row(r) for r in sorted(records, key=lambda r: (r.task, r.step))],
            "alarms": [*alarms(metrics, limits), *_evidence(here)],
            "warnings": sorted({str(one.message) for one in said}),
            "measurements": {task: [*steps] for task, steps in measurements(path).items()},
            "rollouts": [*kept_files(here.rollouts)],
        }

    def _kept(self, what: str, path: Path, read: Callable[[Path], T]) -> T:
        """What is read of a file, again only once it has changed."""
        try:
            found = path.stat()
            stamp: Any = (found.st_ino, found.st_mtime_ns, found.st_size)
        except FileNotFoundError:
            stamp = None
        known = self._known.get((what, path))
        if known is None or known[0] != stamp:
            known = self._known[what, path] = stamp, read(path)
        return known[1]


def is_run(path: Path) -> bool:
    return path.is_dir() and any((path / sign).exists() for sign in SIGNS)


def measurements(path: Path) -> dict[str, dict[int, tuple[Path, Path]]]:
    """By task, as file names have it, and step: the samples files of base and policy, the earliest first."""
    here = ProbeDir(path)
    probed = here.probed() if here.probes.is_dir() else {NO_STEP: path}
    base = here.base if here.probes.is_dir() else path / BASE_FOLDER
    found: dict[str, dict[int, tuple[Path, Path]]] = {}
    for step, folder in probed.items():
        for file in sorted(folder.glob(f"*{SAMPLES_SUFFIX}")):
            task = file.name.removesuffix(SAMPLES_SUFFIX)
            found.setdefault(task, {})[step] = base / file.name, file
    return found


def curves(metrics: Sequence[Mapping[str, Any]]) -> dict[str, list[list[float | None]]]:
    """By metric [steps, values], of long runs not every step; null where a value is no number."""
    every = max(1, math.ceil(len(metrics) / POINTS))
    kept = [row for i, row in enumerate(metrics) if i % every == 0 or i == len(metrics) - 1]
    names = dict.fromkeys(name for row in kept for name in row if name != "step")
    return {name: [[row["step"] for row in kept], [_number(row.get(name)) for row in kept]] for name in names}


def gap_curves(records: Sequence[GapRecord]) -> dict[str, list[list[float | None]]]:
    """The same of what the probe measured, by task."""
    found: dict[str, list[list[float | None]]] = {}
    for r in sorted(records, key=lambda r: r.step):
        values = {
            "gap": r.gap, "pass@1": r.at(1), f"pass@{r.gap_k}": r.at(r.gap_k), "sound pass@1": r.sound_at(1),
        }  # fmt: skip
        for name, value in values.items():
            if value is not None:
                xs, ys = found.setdefault(f"probe/{r.task}/{name}", [[], []])
                xs.append(r.step)
                ys.append(value)
    return found


def record_row(r: GapRecord) -> dict[str, Any]:
    """A column of the gap table. Shares are fractions."""
    of_base = r.policy_hash == r.base_hash
    s = r.sound
    return {
        "task": r.task, "step": r.step, "problems": r.num_problems, "n": r.n, "k": r.gap_k,
        "is_base": of_base, "pass_1": r.at(1), "pass_k": r.at(r.gap_k), "base_1": r.at(1, base=True),
        "base_k": r.at(r.gap_k, base=True), "change": None if of_base else r.pass_at_1_change,
        "change_interval": None if of_base else [r.change_low, r.change_high],
        "gap": r.gap, "gap_interval": [r.gap_low, r.gap_high], "closed": None if of_base else r.closed,
        "gained": None if of_base else r.gained, "lost": None if of_base else r.lost,
        "both": r.both, "neither": r.neither,
        "sound_1": r.sound_at(1), "unsound": s.unsound if s else None,
        "truncated": r.truncated, "unparsed": r.unparsed, "timed_out": r.timed_out,
        "duplicates": r.duplicate_rate,
    }  # fmt: skip


def alarms(metrics: Sequence[Mapping[str, Any]], limits: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the trainer warns of, wherever a step passed its threshold. limits: `monitor` of the run."""
    apart = limits.get("max_logprob_difference", 0.1)
    watched = [("mismatch/mean", apart, "engine and trainer differ: the run stops at this"), *WARNINGS]
    found = []
    for name, threshold, advice in watched:
        past = [(row["step"], row[name]) for row in metrics if name in row and beyond(row[name], threshold)]
        if past:
            found.append(
                {"name": name, "first": past[0][0], "last": past[-1][0], "steps": len(past),
                 "worst": _number(max(value for _, value in past)), "threshold": threshold, "advice": advice}
            )  # fmt: skip
    return found


def _evidence(here: ProbeDir) -> list[dict[str, Any]]:
    files = sorted(here.evidence.glob("*")) if here.evidence.is_dir() else []
    if not files:
        return []
    return [{"name": "evidence/", "advice": f"{len(files)} file(s), such as {files[0].name}"}]


def _name(choice: Any) -> str:
    return str(choice.get("name", "")) if isinstance(choice, Mapping) else str(choice or "")


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def finite(value: Any) -> Any:
    """A JSON value with null for what is no number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [finite(one) for one in value]
    return value
