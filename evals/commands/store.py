"""python -m evals store [set=ID out=FILE.parquet]

Lists the sample sets in $RLVR_STORE (default runs/.store): what was sampled how, and how many samples
there are. With set= (the beginning of an ID is enough) and out=, writes that set as one Parquet file,
sorted by prompt and index: the same samples give the same bytes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from evals.records.store import SampleKey, SampleSet, store_root
from evals.reports.tables import table
from rlvr.config.errors import ConfigError, Mistake, known_keys, of_error
from rlvr.config.schema import Section
from rlvr.planning.recipe import parse_arguments


class Listing(Section):
    """What one command shows or writes."""

    set: str | None = None
    out: Path | None = None


def main(arguments: Sequence[str]) -> int:
    """Exit status: 0, or 2 for wrong arguments."""
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0
    sets = sample_sets(store_root())
    try:
        settings = read_settings(arguments, sets)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    if settings.set is None or settings.out is None:
        Console().print(listing(sets))
        return 0
    (chosen,) = [s for s in sets if s.directory.name.startswith(settings.set)]
    print(f"wrote {chosen.export(settings.out):,} samples to {settings.out}")
    return 0


def sample_sets(root: Path) -> list[SampleSet]:
    """Every set of a store, by its ID."""
    keys = sorted(root.glob("*/key.json"))
    return [SampleSet(root, SampleKey(**json.loads(key.read_text()))) for key in keys]


def read_settings(arguments: Sequence[str], sets: Sequence[SampleSet]) -> Listing:
    """Raises ConfigError with every mistake."""
    ids = [argument for argument in arguments if argument.startswith("set=")]
    given = parse_arguments([argument for argument in arguments if argument not in ids])
    try:
        # As it stands: digits, with an e among them or without, are a number in YAML.
        chosen = {"set": ids[-1].removeprefix("set=")} if ids else {}
        settings = Listing.model_validate(given | chosen)
    except ValidationError as error:
        known = list(known_keys(Listing))
        raise ConfigError("store", [of_error(e, known) for e in error.errors()]) from None
    mistakes = []
    if (settings.set is None) != (settings.out is None):
        mistakes.append(Mistake("set and out", None, "give both to write a set, neither to list them"))
    elif settings.set is not None and settings.out is not None:
        found = [s for s in sets if s.directory.name.startswith(settings.set)]
        if len(found) != 1:
            known = ", ".join(s.directory.name for s in found or sets) or "none in this store"
            mistakes.append(Mistake("set", settings.set, f"is not the beginning of one ID: {known}"))
        if not settings.out.parent.is_dir():
            mistakes.append(Mistake("out", str(settings.out), f"there is no directory {settings.out.parent}"))
        if settings.out.is_dir():
            mistakes.append(Mistake("out", str(settings.out), "is a directory; give a file"))
    if mistakes:
        raise ConfigError("store", mistakes)
    return settings


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
