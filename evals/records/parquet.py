"""Probe files as Parquet: sealed when they are written, held against their seal when they are read."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from evals.records.schema import FileError
from evals.records.store import REASONS, STATUSES
from rlvr.core.run_dir import free_name
from rlvr.core.sealed import (
    DamagedError,
    MissingColumnError,
    ReadError,
    check_seal,
    read_sealed,
    sealed_groups,
    write_sealed,
)
from rlvr.core.shards import check_values

# Rows of a file that are read together at least.
ROW_GROUP = 8192
ALLOWED = {**REASONS, **STATUSES}
ADVICE = "restore it or, if the probe wrote it, remove it and probe again, which takes it from the store"


def read_parquet(
    path: Path,
    columns: Sequence[str] | None = None,
    only: tuple[str, Collection[Any]] | None = None,
    optional: Sequence[str] = (),
) -> pa.Table:
    """The columns, by default all; see `rlvr.core.sealed.read_sealed`.

    Raises FileError for a file that is damaged or lacks a column, and for a status or a finish reason that
    there is not.
    """
    with _told(path):
        table = read_sealed(path, columns, only, optional)
        _check(path, table)
    return table


def parquet_groups(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> Iterator[pa.Table]:
    """The same, row group by row group. Raises FileError."""
    before = 0
    with _told(path):
        for table in sealed_groups(path, columns, optional):
            _check(path, table, before)
            before += table.num_rows
            yield table


def write_parquet(path: Path, table: pa.Table) -> None:
    """Replaces the file in one rename."""
    write_sealed(path, table, ROW_GROUP)


def holds(path: Path, table: pa.Table | None = None) -> bool:
    """Whether the file is there, whole, and of these rows where they are given; a damaged one is set aside
    with a warning, not overwritten."""
    if not path.exists():
        return False
    try:
        check_seal(path)
        return table is None or read_sealed(path).equals(table, check_metadata=True)
    except DamagedError as error:
        aside = free_name(path.with_suffix(".torn"))
        path.rename(aside)
        warnings.warn(f"{error}. It was renamed to {aside.name} and is made anew", stacklevel=2)
        return False


def _check(path: Path, table: pa.Table, before: int = 0) -> None:
    for name in ALLOWED.keys() & {*table.column_names}:
        check_values(path, table[name], ALLOWED[name], before)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """FileError in the place of what reading raises."""
    try:
        yield
    except MissingColumnError as error:
        raise FileError(str(error)) from None
    except DamagedError as error:
        raise FileError(f"{error}: {ADVICE}") from None
    except (OSError, ReadError) as error:
        raise FileError(f"{path} cannot be read: {error}") from None
