"""python -m evals export policy=DIR out=DIR [base=MODEL]: a checkpoint's policy for use elsewhere.
python -m evals export samples RUN... [out=DIR]: runs that need no store.

policy is a checkpoint's policy directory. out gets the whole model in Hugging Face format, which every engine
and transformers 4 load, adapters merged in, with a model card that says what the probe measured of it.
base: the model that adapters belong to, if it has moved.

RUN is a run directory, a directory of `evals probe`, or one <task>.samples.parquet. Such a file has a row for
each sample with its verdict; text and tokens lie in $RLVR_STORE, to which it refers. This writes them into
the files, row group by row group. With out= the runs stay as they are, and DIR/NAME gets of each its records
and its measurements, without checkpoints: what ledger, compare, curves, passk and sound need elsewhere.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from evals.commands.frame import OutDirectory, command
from evals.records.probe_dir import RECORDS
from rlvr.config.errors import Mistake
from rlvr.config.schema import Section
from rlvr.core.progress import progress
from rlvr.core.run_dir import read_jsonl

ADAPTERS = "adapter_config.json"
# Folders of a run, or of a directory of `evals probe`, with what was measured.
MEASURED = ("probes", "base", "perplexity", ".sums")


class Export(Section):
    """What one command writes."""

    policy: Path
    out: Path
    base: str | None = None


def mistakes(settings: Export) -> list[Mistake]:
    """What is wrong with the directories."""
    found = []
    if not any((settings.policy / name).is_file() for name in (ADAPTERS, "config.json")):
        advice = "holds no policy: give a directory like runs/NAME/checkpoints/step_000100/policy"
        found.append(Mistake("policy", str(settings.policy), advice))
    if settings.out.exists():
        found.append(Mistake("out", str(settings.out), "is there already; give another directory"))
    return found


def main(arguments: Sequence[str]) -> int:
    """Exit status."""
    return export_samples(arguments[1:]) if arguments[:1] == ["samples"] else export_policy(arguments)


@command(Export, mistakes)
def export_policy(settings: Export) -> None:
    """Raises ModelError."""
    from rlvr.models.loading import merge_adapters
    from rlvr.models.portable import make_portable

    policy, out = settings.policy, settings.out
    if (policy / ADAPTERS).is_file():
        merge_adapters(policy, out, settings.base)
    else:
        shutil.copytree(policy, out)
        make_portable(out)
    card = policy / "README.md"
    about = card.read_text() if card.is_file() else ""
    if found := measured(policy):
        about += "\n".join(found) + "\n"
    if about:
        (out / "README.md").write_text(about)
    print(f"wrote {out}")


class SamplesOf(Section):
    """Whose samples one command writes."""

    runs: tuple[Path, ...]
    out: OutDirectory | None = None


def samples_mistakes(settings: SamplesOf) -> list[Mistake]:
    """What is wrong with the directories."""
    from evals.records.samples import SAMPLES_SUFFIX, sample_files

    found = [] if settings.runs else [Mistake("RUN", None, "give a run directory, or a file of samples")]
    for run in settings.runs:
        if not run.exists():
            found.append(Mistake(str(run), None, "there is no such directory or file"))
        elif not sample_files(run):
            found.append(Mistake(str(run), None, f"holds no samples (<task>{SAMPLES_SUFFIX})"))
        elif settings.out is not None and (copy := settings.out / run.resolve().name).exists():
            found.append(Mistake("out", str(copy), "is there already; give another directory"))
    names = [run.resolve().name for run in settings.runs]
    if settings.out is not None and len({*names}) < len(names):
        found.append(Mistake("out", str(settings.out), "two runs have one name: give each an out of its own"))
    return found


@command(SamplesOf, samples_mistakes, positional="runs")
def export_samples(settings: SamplesOf) -> None:
    """Raises FileError, and SamplesGoneError for samples that are not in the store."""
    from evals.records.samples import make_whole, sample_files
    from rlvr.core.replacing import remove_litter

    for run in settings.runs:
        place = run if settings.out is None else copied(run, settings.out / run.resolve().name)
        remove_litter(place if place.is_dir() else place.parent, recursive=place.is_dir())
        files = sample_files(place)
        with progress("writing samples", len(files)) as display:
            written = 0
            for _, file in files:
                written += make_whole(file)
                display.advance(1)
        print(f"{place}: {written} of {len(files)} files of samples were written, the others are whole")


def copied(run: Path, out: Path) -> Path:
    """Copies a run's records and measurements, without checkpoints and jobs; where they are now."""
    if run.is_file():
        beside = [file for file in run.parent.glob("*.parquet") if _task(file) == _task(run)]
        out = out.parent
        out.mkdir(parents=True, exist_ok=True)
        for file in beside:
            shutil.copy2(file, out)
        return out / run.name
    taken = [path for path in sorted(run.iterdir()) if path.is_file() or path.name in MEASURED]
    for path in taken:
        if path.is_dir():
            shutil.copytree(path, out / path.name)
        else:
            out.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, out)
    return out


def _task(file: Path) -> str:
    return file.name.removesuffix(".parquet").removesuffix(".samples")


def measured(policy: Path) -> list[str]:
    """What the run that the policy stands in measured of it, as Markdown; empty where that is not known."""
    run = policy.resolve().parent.parent.parent
    step = policy.resolve().parent.name.removeprefix("step_")
    if not (step.isdigit() and (run / RECORDS).is_file()):
        return []
    found = read_jsonl(run / RECORDS, "step", "task", "pass_at_k", "gap", "gap_k")
    rows = [row for row in found if row["step"] == int(step)]
    if not rows:
        return []
    lines = ["## Measured", "", "| task | pass@1 | base pass@K | gap | 95 % |", "|---|---|---|---|---|"]
    for row in rows:
        own, gap = row["pass_at_k"][0], row["gap"]
        base = None if gap is None else own + gap
        low, high = _points(row["gap_low"]), _points(row["gap_high"])
        lines.append(
            f"| {row['task']} | {_points(own)} | {_points(base)} (K = {row['gap_k']}) | {_points(gap)} | "
            f"{low} to {high} |"
        )
    return [*lines, "", "The gap is the base's pass@K minus this policy's pass@1, in points of 100."]


def _points(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
