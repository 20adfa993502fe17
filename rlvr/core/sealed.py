"""Sealed Parquet files: each carries checksums of its content, and what is read of it is held against them.

The seal is the value of the key `rlvr.seal` in the file's own metadata: the CRC-32 of every column of every
row group as it lies in the file, in the file's order, and at last that of the footer (with `xxxxxxxx` in that
place), eight hex digits each. So a reader of a few columns checks these alone. Any Parquet reader reads the
files; those without a seal, as older versions wrote them, are read as they are.
"""

from __future__ import annotations

import errno
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rlvr.core.errors import UserError
from rlvr.core.replacing import replacing

SEAL = b"rlvr.seal"
MAGIC = b"PAR1"
_DIGITS = 8
_BLANK = b"x" * _DIGITS
# What Arrow raises for bytes that are no Parquet, beside an OSError without a number.
_NO_PARQUET = (pa.ArrowException, UnicodeDecodeError, OverflowError)
# Bytes of a file that is held in memory at most, and that are summed at once of a larger one.
_HELD, _PIECE = 1 << 20, 1 << 18
# Rows of a row group at most.
_GROUP = 1 << 20
Check: TypeAlias = Literal["footer", "columns", "whole"]
# Of a disk, a right or a limit: they say nothing of the bytes in the file.
_MISSING = (errno.ENOENT, errno.ENOTDIR)


class DamagedError(UserError):
    """A file does not hold what was written into it; the message names it and the place."""

    status = 2


class MissingColumnError(DamagedError):
    """A file is whole and lacks a column that is asked for."""


class ReadError(UserError):
    """A file could not be read, which says nothing of its content; the message says why."""


def write_sealed(path: Path, table: pa.Table, row_group_size: int | None = None) -> None:
    """Replaces the file by the sealed table in one rename. row_group_size: rows, by default all."""
    with sealed_writer(path, table.schema) as write:
        write(table, row_group_size or table.num_rows)


@contextmanager
def sealed_writer(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table, int], None]]:
    """Replaces the file by a sealed one in one rename. What it gives takes rows and how many of them make a
    row group: so many lie in memory at a time, the rest is in the file."""
    groups = 0

    def write(table: pa.Table, row_group_size: int) -> None:
        nonlocal groups
        for start in range(0, table.num_rows, size := min(max(1, row_group_size), _GROUP)):
            writer.write_table(table.slice(start, size), row_group_size=size)
            groups += 1

    with replacing(path) as file:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            yield write
            writer.add_key_value_metadata({SEAL: _BLANK * (groups * len(schema) + 1)})
        _seal(file, groups * len(schema))


def _seal(file: BinaryIO, count: int) -> None:
    """Puts checksums in the place of the blanks. count: of columns in all row groups."""
    metadata = pq.read_metadata(file)
    if metadata.num_row_groups * metadata.num_columns != count:
        raise RuntimeError(f"a file has {metadata.num_row_groups} row groups, {count} checksums were planned")
    extents = (extent for group in _extents(metadata) for extent in group)
    sums = "".join(_sum(file, start, end) for _, start, end in extents).encode()
    begins = file.seek(0, 2) - 2 * len(MAGIC) - metadata.serialized_size
    file.seek(begins)
    footer = bytearray(file.read(metadata.serialized_size))
    place = footer.rindex(_BLANK * (count + 1))
    footer[place : place + len(sums)] = sums
    footer[place + len(sums) : place + len(sums) + _DIGITS] = _hex(footer).encode()
    file.seek(begins)
    file.write(footer)


def read_sealed(
    path: Path,
    columns: Sequence[str] | None = None,
    only: tuple[str, Collection[Any]] | None = None,
    optional: Sequence[str] = (),
    check: Check = "columns",
) -> pa.Table:
    """The columns of a Parquet file, held against its seal where it has one.

    columns: by default all. only: a column and the values whose rows are wanted. optional: columns that are
    read where the file has them. check: what is held against the seal beside the footer: the columns that are
    read, the whole file, or, of one that is known to be whole, nothing more. Raises DamagedError,
    ReadError, FileNotFoundError.
    """
    with _explained(path), open(path, "rb", buffering=0) as raw:
        table = _read(path, _Bytes(path, raw), columns, optional, check)
    if only is not None:
        name, values = only
        table = table.filter(pc.is_in(table[name], pa.array([*values], table.schema.field(name).type)))
    return table


def sealed_groups(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> Iterator[pa.Table]:
    """The same row group by row group, of which one lies in memory at a time; an empty table where the file
    has none."""
    with _explained(path), open(path, "rb", buffering=0) as raw:
        content = _Bytes(path, raw)
        seal = _checked_footer(path, content)
        with pq.ParquetFile(content.source) as file:
            wanted = _wanted(path, file, columns, optional)
            if not file.num_row_groups:
                yield _without_seal(file.schema_arrow.empty_table().select(wanted))
            for number in range(file.num_row_groups):
                if seal is not None:
                    _check_columns(path, content, file.metadata, seal, wanted, number)
                table = _without_seal(file.read_row_group(number, wanted))
                if seal is None:
                    table.validate(full=True)
                yield table


def check_seal(path: Path) -> None:
    """Holds the whole file against its seal. Raises as `read_sealed`."""
    read_sealed(path, [], check="whole")


class _Bytes:
    """A file's bytes: of one that is not large they are read once."""

    def __init__(self, path: Path, raw: FileIO):
        self.size = raw.seek(0, 2)
        self._raw = raw
        self._held: memoryview | None = None
        self.source: Any = path
        if self.size <= _HELD:
            raw.seek(0)
            content = raw.readall()
            self._held, self.source = memoryview(content), pa.BufferReader(content)

    def part(self, start: int, end: int) -> bytes:
        """The bytes from start up to end."""
        if self._held is not None:
            return bytes(self._held[start:end])
        self._raw.seek(start)
        return self._raw.read(end - start)

    def checksum(self, start: int, end: int) -> str:
        """Of the bytes from start up to end."""
        if self._held is not None:
            return _hex(self._held[start:end])
        return _sum(self._raw, start, end)


def _sum(file: BinaryIO | FileIO, start: int, end: int) -> str:
    """The checksum of the bytes from start up to end."""
    found, left, buffer = 0, end - start, memoryview(bytearray(_PIECE))
    file.seek(start)
    while left > 0 and (read := file.readinto(buffer[: min(left, _PIECE)])):  # type: ignore[union-attr]
        found, left = zlib.crc32(buffer[:read], found), left - read
    return f"{found:0{_DIGITS}x}"


def _read(
    path: Path, content: _Bytes, columns: Sequence[str] | None, optional: Sequence[str], check: Check
) -> pa.Table:
    seal = _checked_footer(path, content)
    with pq.ParquetFile(content.source) as file:
        wanted = None if columns is None else _wanted(path, file, columns, optional)
        if seal is not None and check != "footer":
            _check_columns(path, content, file.metadata, seal, None if check == "whole" else wanted)
        table = _without_seal(file.read(wanted))
        if seal is None:
            table.validate(full=True)  # texts that are not UTF-8 would be found only where they are used
        return table


def _wanted(path: Path, file: pq.ParquetFile, columns: Sequence[str], optional: Sequence[str]) -> list[str]:
    names = file.schema_arrow.names
    if missing := sorted({*columns} - {*names}):
        raise MissingColumnError(f"{path} has no column {', '.join(missing)}")
    return [*columns, *(n for n in optional if n in names)]


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """DamagedError or ReadError in the place of what reading raises."""
    try:
        yield
    except OSError as error:
        if error.errno in _MISSING:
            raise
        if error.errno:
            raise ReadError(f"{path} cannot be read: {error}. The file was left as it is") from error
        raise DamagedError(f"{path} cannot be read: {error}") from None
    except MemoryError as error:
        raise ReadError(f"{path} cannot be read: out of memory ({error})") from error
    except _NO_PARQUET as error:
        raise DamagedError(f"{path} cannot be read: {error}") from None


def _without_seal(table: pa.Table) -> pa.Table:
    metadata = {key: value for key, value in (table.schema.metadata or {}).items() if key != SEAL}
    return table.replace_schema_metadata(metadata or None)


def _checked_footer(path: Path, content: _Bytes) -> bytes | None:
    """The checksums of the columns, whose footer is whole; None where the file has no seal."""
    ends = content.size - 2 * len(MAGIC)
    if ends < len(MAGIC):
        raise DamagedError(f"{path} cannot be read: it is cut off, {content.size} bytes are left")
    tail = content.part(ends, content.size)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != MAGIC or length > ends - len(MAGIC):
        raise DamagedError(f"{path} cannot be read: it is cut off or no Parquet file, as its end shows")
    footer = content.part(ends - length, ends)
    if footer.count(SEAL) != 1:
        return None
    place, digits = _value_after(footer, footer.index(SEAL) + len(SEAL))
    whole = footer[: place + digits - _DIGITS] + _BLANK + footer[place + digits :]
    seal = footer[place : place + digits]
    if digits < _DIGITS or _hex(whole).encode() != seal[-_DIGITS:]:
        raise DamagedError(f"{path}: its footer, which says where its rows lie, is not what was written")
    return seal[:-_DIGITS]


def _value_after(footer: bytes, place: int) -> tuple[int, int]:
    """Where the string after a key begins, and its length (Thrift's compact protocol)."""
    place, length, shift = place + 1, 0, 0
    while place < len(footer):
        byte = footer[place]
        place, length, shift = place + 1, length | (byte & 127) << shift, shift + 7
        if byte < 128:
            return place, length
    return place, 0


def _check_columns(
    path: Path,
    content: _Bytes,
    metadata: pq.FileMetaData,
    seal: bytes,
    wanted: Collection[str] | None,
    only: int | None = None,
) -> None:
    """Sums the columns as they lie in the file. wanted: all if None. only: of one row group. Raises
    DamagedError."""
    sums = iter(seal[i : i + _DIGITS] for i in range(0, len(seal), _DIGITS))
    first = 1
    for number, group in enumerate(_extents(metadata)):
        rows = metadata.row_group(number).num_rows
        for (name, start, end), expected in zip(group, sums):  # noqa: B905
            if (wanted is not None and name not in wanted) or only not in (None, number):
                continue
            if content.checksum(start, end).encode() != expected:
                raise DamagedError(
                    f"{path}, row group {number} (rows {first} to {first + rows - 1}), column {name}: is not "
                    "what was written"
                )
        first += rows


def _extents(metadata: pq.FileMetaData) -> list[list[tuple[str, int, int]]]:
    """By row group, of every column its name, where it begins and where it ends."""
    groups = []
    for number in range(metadata.num_row_groups):
        group, extents = metadata.row_group(number), []
        for place in range(metadata.num_columns):
            column = group.column(place)
            starts = [column.data_page_offset, column.dictionary_page_offset or column.data_page_offset]
            name = column.path_in_schema.partition(".")[0]
            extents.append((name, min(starts), min(starts) + column.total_compressed_size))
        groups.append(extents)
    return groups


def _hex(content: Any) -> str:
    return f"{zlib.crc32(content):0{_DIGITS}x}"
