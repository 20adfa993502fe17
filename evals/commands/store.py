"""python -m evals store [set=ID out=FILE.parquet]

Lists the sample sets in $RLVR_STORE (default runs/.store): what was sampled how, and how many samples
there are. With set= (the beginning of an ID is enough) and out=, writes that set as one Parquet file,
sorted by prompt and index: the same samples give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from evals.commands.frame import OutFile, command
from evals.records.schema import FileError, read_fields
from evals.records.store import SampleKey, SampleSet
from evals.reports.tables import table
from rlvr.config.errors import Mistake
from rlvr.config.schema import Section
from rlvr.core.records import read_object
from rlvr.core.shards import store_root


class Listing(Section):
    """What one command shows or writes."""

    set: str | None = None
    out: OutFile | None = None


def mistakes(settings: Listing) -> list[Mistake]:
    """What is wrong with the ID and the file."""
    if (settings.set is None) != (settings.out is None):
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
    """Lists the sets, or writes one."""
    sets = sample_sets(store_root())
    if settings.set is None or settings.out is None:
        Console().print(listing(sets))
        return
    (chosen,) = _beginning_with(settings.set, sets)
    print(f"wrote {chosen.export(settings.out):,} samples to {settings.out}")


def sample_sets(root: Path) -> list[SampleSet]:
    """Every set of a store, by its ID."""
    return [_sample_set(root, file) for file in sorted(root.glob("*/key.json"))]


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
    """One row a set; IDs and hashes by their first eight digits."""
    heads = ("ID", "weights", "template", "T", "tokens", "engine", "samples")
    shown = table(f"Sample sets in {store_root()}", *heads)
    for each in sets:
        key, stored = each.key, each.read()
        shown.add_row(
            each.directory.name[:8],
            key.weights[:8],
            key.template,
            f"{key.temperature:.3g}",
            f"{key.max_new_tokens}",
            f"{key.engine} {key.dtype}",
            f"{stored.num_rows:,}",
        )
    return shown
