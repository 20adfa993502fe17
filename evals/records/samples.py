"""The samples of a measurement, wherever they lie: in its own file, or in the store that the file refers to.

A file that refers has one row a sample with all but `STORED`; prompt and index are the sample's key in the
set, and the digest of its tokens says whether it is still the one that was measured.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from evals.records.files import (
    BASE_FOLDER,
    EPISODES,
    METADATA,
    REFERENCE,
    SAMPLES,
    STORED,
    plain_name,
    read_reference,
)
from evals.records.parquet import ROW_GROUP, holds, parquet_groups, read_parquet
from evals.records.probe_dir import ProbeDir
from evals.records.schema import FileError
from evals.records.store import SampleSet, blocks, find_rows
from rlvr.core.sealed import sealed_writer
from rlvr.core.shards import store_root

SAMPLES_SUFFIX = ".samples.parquet"


class SamplesGoneError(FileError):
    """A file refers to samples that the store does not have; the message says which and what to do."""


def read_samples(
    path: Path,
    columns: Sequence[str],
    only: tuple[str, Collection[Any]] | None = None,
    optional: Sequence[str] = (),
) -> pa.Table:
    """Columns of a samples file, read as by `read_parquet`; those of `STORED` from the store where it refers
    to it. Raises FileError, SamplesGoneError."""
    stored = _stored(path, columns)
    if stored is None:
        return read_parquet(path, columns, only, optional)
    rows = read_parquet(path, _own(columns), only, optional)
    return _filled(path, rows, columns, stored)


def sample_blocks(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> Iterator[pa.Table]:
    """The same, part by part in the order of the file, so that a file of any size can be gone through."""
    stored = _stored(path, columns)
    if stored is None:
        yield from parquet_groups(path, columns, optional)
        return
    rows = read_parquet(path, _own([*columns, "problem", "tokens"]), optional=optional)
    for start, stop in blocks(rows["problem"], rows["tokens"]):
        yield _filled(path, rows.slice(start, stop - start), columns, stored)


def make_whole(path: Path, out: Path | None = None) -> bool:
    """Writes a samples file that refers to the store with all columns, in its own place or elsewhere; False
    where it does not refer. Raises FileError, SamplesGoneError, and then changes nothing."""
    key = read_reference(path)
    if key is None:
        return False
    metadata = dict(read_parquet(path, []).schema.metadata or {})
    about = json.loads(metadata[METADATA])
    del about[REFERENCE]
    columns = EPISODES if key.environment else SAMPLES
    schema = columns.with_metadata({**metadata, METADATA: json.dumps(about).encode()})
    with sealed_writer(out or path, schema) as write:
        for part in sample_blocks(path, columns.names):
            write(part.select(columns.names).cast(schema), ROW_GROUP)
    return True


def refer(samples: SampleSet, path: Path) -> None:
    """Notes in the store that a file is going to refer to the set. Raises SamplesGoneError."""
    try:
        samples.refer(path)
    except FileNotFoundError:
        raise SamplesGoneError(
            f"the samples that {path} is about, {samples.directory}, were removed meanwhile: give the same "
            "command again, which draws them again"
        ) from None


def holds_samples(path: Path, rows: pa.Table) -> bool:
    """Whether the file is there and whole and, where it refers to the store, of these rows; a damaged one is
    set aside with a warning."""
    if not holds(path):
        return False
    if read_reference(path) is None:
        return True
    known = ["logprob"]  # NaN, where a server gives none, is not equal to itself
    return read_parquet(path).drop_columns(known).equals(rows.drop_columns(known), check_metadata=True)


def sample_files(run: Path, task: str | None = None) -> list[tuple[str, Path]]:
    """Samples of a run, or of a directory of `evals probe`, with the name of what was sampled, the base
    first; of one task where it is given. A file is taken as it is."""
    if run.is_file():
        return [("", run)]
    here = ProbeDir(run)
    folders = [("base", here.base), *((f"step {step}", path) for step, path in here.probed().items())]
    if not here.probes.is_dir():
        folders = [("base", run / BASE_FOLDER), ("model", run)]
    found = [
        (name, file)
        for name, folder in folders
        for file in sorted(folder.glob(f"*{SAMPLES_SUFFIX}"))
        if task is None or file.name == f"{plain_name(task)}{SAMPLES_SUFFIX}"
    ]
    return sorted(found, key=lambda one: one[1].name)


def _stored(path: Path, columns: Sequence[str]) -> SampleSet | None:
    """The set that has some of these columns; None where the file has them itself."""
    if not {*STORED} & {*columns}:
        return None
    key = read_reference(path)
    return None if key is None else SampleSet(store_root(), key)


def _own(columns: Sequence[str]) -> list[str]:
    """What is read of a file that refers for these columns."""
    return [*dict.fromkeys(n for n in (*columns, "prompt", "index", "digest") if n not in STORED)]


def _filled(path: Path, rows: pa.Table, columns: Sequence[str], samples: SampleSet) -> pa.Table:
    """The rows with their columns of `STORED`. Raises SamplesGoneError."""
    wanted = [name for name in STORED if name in columns]
    stored = samples.read(["digest", *wanted], {*rows["prompt"].unique().to_pylist()})
    place = find_rows(stored, rows["prompt"].combine_chunks(), rows["index"].to_numpy())
    if lacking := int((place < 0).sum()):
        raise SamplesGoneError(_gone(path, samples, f"{lacking:,} of {len(place):,} samples"))
    stored = stored.take(pa.array(place))
    same = pc.equal(stored["digest"].combine_chunks(), rows["digest"].combine_chunks())
    if differing := same.false_count:
        what = f"{differing:,} of {len(place):,} samples, as they were measured,"
        raise SamplesGoneError(_gone(path, samples, what))
    for name in wanted:
        rows = rows.append_column(name, stored[name])
    return rows.select([*columns, *(n for n in rows.column_names if n not in columns)])


def _gone(path: Path, samples: SampleSet, what: str) -> str:
    models = ", ".join(samples.names["models"]) or f"the model with weights {samples.key.weights}"
    return (
        f"{path} refers to samples of {models}, and {what} are not in set {samples.directory.name} of the "
        f"store {store_root()}. Counts and verdicts are whole. Give the store that has them as RLVR_STORE; "
        "where it was pruned, `python -m evals probe model=... base=...` with the settings of this probe "
        "draws them again. `python -m evals export samples RUN` makes a run independent of its store"
    )
