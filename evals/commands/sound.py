"""python -m evals sound RUN... [soundness=steps|arithmetic|judge] [task=NAME] [ks=1,16,256] [write=true]
    [out=FILE.json]

Looks at the reasoning in stored samples, without a model: how often is an answer right, how often right and
sound, and which share of right answers follows a wrong step? RUN is a run directory, a directory of
`evals probe`, or one <task>.samples.parquet. Samples that were looked at by this version of the checker are
not looked at again.

  soundness=   the checker; by default that of the task: steps for countdown, arithmetic for gsm8k. A judge
               is a model on a server: soundness=judge soundness.url=http://HOST:PORT soundness.model=NAME,
               and prompt=FILE, votes=, temperature=, max_tokens=, key=ENVIRONMENT_VARIABLE, concurrency=,
               timeout=, retries= of it; `judge-check` says how good it is
  task=        only the samples of this task
  write=true   put what was found into the files, and the run's records, where all other commands find it
  out=         all of it as JSON
  strict=true  exit status 3 where most samples of a file have no verdict, which is said first in any case

A right answer counts as sound where no wrong step was found, so also where the checker could not decide; the
share of these stands beside it. pass@k is unbiased, - where k is above n. [a, b]: 95 % over problems.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from evals.commands.frame import OutFile, command
from evals.estimators.soundness import apart, undecided_share, unsound_share
from evals.records.judge_checks import remark
from evals.records.probe_dir import ProbeDir
from evals.records.samples import SAMPLES_SUFFIX, sample_files
from evals.records.soundness import Looked, look, store, store_records
from evals.reports.tables import interval, points, rough, table
from evals.reports.unread import warn_of
from rlvr.config.errors import Mistake
from rlvr.config.schema import Positive, Section
from rlvr.core.progress import plain_console, progress
from rlvr.core.run_dir import write_json
from rlvr.graders.soundness import NONE, SoundnessName, build_checker
from rlvr.tasks.unread import UnreadError


class Looking(Section):
    """What one command looks at."""

    runs: tuple[Path, ...]
    soundness: SoundnessName | None = None
    task: str | None = None
    ks: tuple[Positive, ...] = (1, 16, 256)
    write: bool = False
    out: OutFile | None = None
    strict: bool = False


def mistakes(settings: Looking) -> list[Mistake]:
    """What is wrong with the directories."""
    found = [
        Mistake(str(r), None, "there is no such directory or file") for r in settings.runs if not r.exists()
    ]
    if not settings.runs:
        found.append(Mistake("RUN", None, "give a run directory, or a file of samples"))
    if settings.soundness == NONE:
        found.append(Mistake("soundness", NONE, "give a checker: steps, arithmetic or judge"))
    for run in settings.runs:
        if run.exists() and not sample_files(run, settings.task):
            what = f"of task {settings.task} " if settings.task else ""
            found.append(Mistake(str(run), None, f"holds no samples {what}(<task>{SAMPLES_SUFFIX})"))
    return found


@command(Looking, mistakes, positional="runs")
def main(settings: Looking) -> int:
    """3 where most samples have no verdict, if strict. Raises FileError, CheckerError."""
    console, rows = plain_console(), []
    checker = build_checker(settings.soundness) if settings.soundness else None
    unread = False
    for run in settings.runs:
        files = sample_files(run, settings.task)
        unread |= warn_of(file for _, file in files)
        with progress("looking", len(files)) as display:
            looked = []
            for name, file in files:
                looked.append((name, look(file, checker)))
                display.advance(1)
        console.print(shown(run, looked, settings.ks))
        rows += [_written(run, name, one, settings.ks) for name, one in looked]
        if settings.write:
            for _, one in looked:
                store(one)
            store_records(ProbeDir(run), {(name, _task(one)): one for name, one in looked})
    if settings.out is not None:
        write_json(settings.out, {"records": rows})
    return UnreadError.status if unread and settings.strict else 0


def shown(run: Path, looked: Sequence[tuple[str, Looked]], ks: Sequence[int]) -> Table:
    """One row a measurement. The policy before training, which is the base, stands once."""
    checkers = ", ".join(dict.fromkeys(one.checker for _, one in looked))
    shares = [undecided_share(one.counts) for _, one in looked]
    any_undecided = any(share is not None and share.value > 0 for share in shares)
    heads = [*(f"pass\n@{k}" for k in ks), *(f"sound\n@{k}" for k in ks), "wrong step"]
    heads += ["undecided"] if any_undecided else []
    made = table(f"{run}: reasoning, by {checkers}", "of 100", *heads)
    bases: dict[str, Any] = {}
    for (name, one), undecided in zip(looked, shares, strict=True):
        task = _task(one)
        if task not in bases:
            made.add_section()
            made.add_row(f"{task}")
            bases[task] = one.origin, one.counts.right
        elif one.origin is not None and (one.origin, one.counts.right) == bases[task]:
            continue
        unsound = unsound_share(one.counts)
        share = ("! " if apart(one.counts) else "") + points(unsound and unsound.value)
        made.add_row(
            f" {name}",
            *(points(_at(one.counts.right, k)) for k in ks),
            *(points(_at(one.counts.sound, k)) for k in ks),
            f"{share}\n{interval(*unsound.interval)}" if unsound else share,
            *([points(undecided and undecided.value)] if any_undecided else []),
        )
    made.caption = (
        "sound: right, and no wrong step was found. wrong step: the share of right\nanswers that "
        "follow one, with its 95 % interval over problems.\n!: sound pass@1 lies below the 95 % interval "
        "of pass@1." + remark(one.checker for _, one in looked)
    )
    if few := rough(min(len(one.problems) for _, one in looked)):
        made.caption += f"\n{few}"
    return made


def _task(looked: Looked) -> str:
    """The task's name, or else the file's."""
    return looked.conditions.task if looked.conditions else looked.path.name.removesuffix(SAMPLES_SUFFIX)


def _at(counts: Any, k: int) -> float | None:
    return float(counts.pass_at_k(k).mean()) if k <= counts.largest_k else None


def _written(run: Path, name: str, one: Looked, ks: Sequence[int]) -> dict[str, Any]:
    unsound, undecided = unsound_share(one.counts), undecided_share(one.counts)
    return {
        "run": str(run),
        "file": str(one.path),
        "task": _task(one),
        "of": name,
        "checker": one.checker,
        "problems": len(one.problems),
        "ks": list(ks),
        "pass_at_k": [_at(one.counts.right, k) for k in ks],
        "sound_pass_at_k": [_at(one.counts.sound, k) for k in ks],
        "unsound": unsound and unsound.value,
        "unsound_interval": unsound and list(unsound.interval),
        "undecided": undecided and undecided.value,
        "apart": apart(one.counts),
        "graded": one.graded,
    }
