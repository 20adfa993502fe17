"""python -m evals store [set=ID out=FILE.parquet] [prune=true set=ID|unused_days=N]
    [referred=true] [compact=true]

Lists the sample sets in $RLVR_STORE (default runs/.store): models and tasks, what was sampled how, and how
many samples there are. With set= (the beginning of an ID is enough) and out=, writes that set as one Parquet
file, sorted by prompt and index: the same samples give the same bytes.

With prune=true it removes one set, or all to which nothing was added in N days, with their verdicts. What is
asked for again has to be drawn again. A set that is being drawn stays, and so does one that a run refers to,
or referred to where it lay before, for its texts and tokens: `python -m evals export samples RUN` makes the
run independent of it, and referred=true removes it all the same.

With compact=true it writes the many small files of a set, or of every set, as few large ones with the same
rows; others may read and add to it meanwhile.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field
from rich.table import Table

from evals.commands.frame import OutFile, command
from evals.records.files import read_reference
from evals.records.schema import FileError, read_fields
from evals.records.store import REFERRERS, SampleKey, SampleSet
from evals.reports.tables import table
from evals.sampling.leases import Leases
from rlvr.config.errors import Mistake
from rlvr.config.schema import Section
from rlvr.core.progress import plain_console
from rlvr.core.records import read_object
from rlvr.core.shards import store_root

# Of a set that is being removed.
_GONE = ".gone-"
# About how large a file of a compacted set is.
COMPACT_BYTES = 64 * 2**20


class Listing(Section):
    """What one command shows or writes."""

    set: str | None = None
    out: OutFile | None = None
    prune: bool = False
    compact: bool = False
    unused_days: Annotated[float, Field(ge=0)] | None = None
    referred: bool = False


def mistakes(settings: Listing) -> list[Mistake]:
    """What is wrong with the ID, the file, and what is to go."""
    if settings.prune and (settings.out or (settings.set is None) == (settings.unused_days is None)):
        return [Mistake("prune", True, "give set=ID or unused_days=N with it, and no out")]
    if settings.unused_days is not None and not settings.prune:
        return [Mistake("unused_days", settings.unused_days, "is for prune=true")]
    if settings.referred and not settings.prune:
        return [Mistake("referred", True, "is for prune=true")]
    if settings.compact and (settings.prune or settings.out):
        return [Mistake("compact", True, "give at most set=ID with it")]
    if not (settings.prune or settings.compact) and (settings.set is None) != (settings.out is None):
        return [Mistake("set and out", None, "give both to write a set, neither to list them")]
    found: list[Mistake] = []
    if settings.set is not None:
        sets = sample_sets(store_root())
        meant = _beginning_with(settings.set, sets)
        if len(meant) != 1:
            known = ", ".join(s.directory.name for s in meant or sets) or "none in this store"
            found.append(Mistake("set", settings.set, f"is not the beginning of one ID: {known}"))
    return found


@command(Listing, mistakes)
def main(settings: Listing) -> None:
    """Lists the sets, writes one, compacts or removes some."""
    sets = sample_sets(store_root())
    meant = sets if settings.set is None else _beginning_with(settings.set, sets)
    if settings.prune:
        prune(meant, settings.unused_days, settings.referred)
        return
    if settings.compact:
        compact(meant)
        return
    if settings.set is None or settings.out is None:
        plain_console().print(listing(sets))
        return
    (chosen,) = meant
    print(f"wrote {chosen.export(settings.out):,} samples to {settings.out}")


def prune(sets: Sequence[SampleSet], unused_days: float | None, referred: bool = False) -> None:
    """Removes the sets to which nothing was added in so many days; None: all of them. referred: those too
    that measurements refer to."""
    for leftover in store_root().glob(f"{_GONE}*"):  # of one that was stopped
        shutil.rmtree(leftover, ignore_errors=True)
    for each in sets:
        if unused_days is not None and time.time() - _last_use(each) < unused_days * 86400:
            continue
        shown = f"{each.directory.name[:8]} ({_named(each)})"
        noted = each.referrers()
        with Leases(each.directory).all_held() as own:
            why = (None if referred else referrer(each, noted)) if own else "is being drawn"
            samples = each.read().num_rows if why is None else 0
            if why is None and not _removed(each, None if referred else len(noted)):
                why = "has just been referred to"
        print(f"removed {shown}: {samples:,} samples" if why is None else f"{shown} {why}: it stays")


def referrer(samples: SampleSet, noted: Sequence[Path]) -> str | None:
    """Which of the files that were noted refers to the set, or did where it lay; None where none does."""
    for file in noted:
        if not file.exists():
            return f"was referred to by {file}, which was moved or removed"
        try:
            key = read_reference(file)
        except FileError as error:
            return f"may be referred to by {error}"
        if key is not None and key.digest() == samples.key.digest():
            return f"is referred to by {file}"
    return None


def _removed(samples: SampleSet, noted: int | None) -> bool:
    """Whether the set was removed: not where more files than so many refer to it in the last moment."""
    gone = samples.directory.with_name(f"{_GONE}{samples.directory.name}")
    shutil.rmtree(gone, ignore_errors=True)
    samples.directory.rename(gone)  # at once, so that nobody meets a part of it
    if noted is not None and len([*(gone / REFERRERS).glob("*.json")]) > noted:
        gone.rename(samples.directory)
        return False
    shutil.rmtree(gone)
    return True


def compact(sets: Sequence[SampleSet]) -> None:
    """Writes each set's files as few large ones."""
    for each in sets:
        fewer = sum(shards.compact(COMPACT_BYTES) for shards in each.tables())
        print(f"{each.directory.name[:8]} ({_named(each)}): {fewer} files fewer")


def _last_use(samples: SampleSet) -> float:
    """When something was last added, in seconds since the epoch."""
    files = [samples.directory, *samples.directory.rglob("*.parquet")]
    return max(file.stat().st_mtime for file in files)


def _named(samples: SampleSet) -> str:
    names = samples.names
    return f"{', '.join(names['models']) or samples.key.weights[:8]} on {', '.join(names['tasks']) or '?'}"


def sample_sets(root: Path) -> list[SampleSet]:
    """Every set of a store, by its ID."""
    keys = (file for file in sorted(root.glob("*/key.json")) if not file.parent.name.startswith(_GONE))
    return [_sample_set(root, file) for file in keys]


def _sample_set(root: Path, file: Path) -> SampleSet:
    """Raises RecordError, and FileError where the set is named otherwise than its key says."""
    found = SampleSet(root, read_fields(SampleKey, read_object(file), str(file), strict=True))
    if found.directory != file.parent:
        raise FileError(
            f"{file} is not what was written, but the key of {found.directory.name}. Remove it: the samples "
            "beside it are whole, and the next probe that uses them writes it anew"
        )
    return found


def _beginning_with(text: str, sets: Sequence[SampleSet]) -> list[SampleSet]:
    return [s for s in sets if s.directory.name.startswith(text)]


def listing(sets: Sequence[SampleSet]) -> Table:
    """One row a set; IDs and hashes by their first eight digits. files: of measurements that refer to it."""
    heads = ("ID", "model", "task", "weights", "template", "T", "tokens", "engine", "samples", "files")
    shown = table(f"Sample sets in {store_root()}", *heads)
    for each in sets:
        key, stored = each.key, each.read()
        shown.add_row(
            each.directory.name[:8],
            ", ".join(each.names["models"]),
            ", ".join(each.names["tasks"]),
            key.weights[:8],
            key.template,
            f"{key.temperature:.3g}",
            f"{key.max_new_tokens}",
            f"{key.engine} {key.dtype}",
            f"{stored.num_rows:,}",
            f"{len(each.referrers())}",
        )
    return shown
