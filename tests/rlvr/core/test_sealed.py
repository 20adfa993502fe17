"""Sealed files: what is read is what was written, or the place that is damaged is named."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlvr.core.sealed import (
    DamagedError,
    MissingColumnError,
    ReadError,
    check_seal,
    read_sealed,
    sealed_groups,
    sealed_writer,
    write_sealed,
)

TABLE = pa.table(
    {
        "key": pa.array([f"p{i % 3}" for i in range(40)]),
        "ids": pa.array([[i, 2] for i in range(40)], pa.large_list(pa.int32())),
        "text": pa.array([None if i % 2 else f"text {i}" for i in range(40)], pa.large_string()),
    }
).replace_schema_metadata({b"rlvr": b"{}"})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_sealed(tmp_path / "a.parquet", TABLE, row_group_size=15)
    return tmp_path / "a.parquet"


def test_any_reader_reads_it_and_sees_no_seal_in_its_rows(file: Path) -> None:
    for table in (read_sealed(file), pq.read_table(file)):
        assert table.equals(TABLE) and table.schema.metadata == {b"rlvr": b"{}"}
    assert pq.ParquetFile(file).num_row_groups == 3


def test_columns_and_rows_are_chosen(file: Path) -> None:
    found = read_sealed(file, ["key"], ("key", {"p1"}), optional=["text", "absent"])
    assert found.column_names == ["key", "text"] and set(found["key"].to_pylist()) == {"p1"}
    with pytest.raises(MissingColumnError, match=r"has no column x, y"):
        read_sealed(file, ["y", "key", "x"])


@pytest.mark.parametrize("rows", [0, 1])
def test_small_tables(tmp_path: Path, rows: int) -> None:
    write_sealed(tmp_path / "a.parquet", TABLE.slice(0, rows))
    check_seal(tmp_path / "a.parquet")
    assert read_sealed(tmp_path / "a.parquet").equals(TABLE.slice(0, rows))


def test_a_damaged_column_is_named_and_others_are_read(file: Path) -> None:
    whole = file.read_bytes()
    column = pq.read_metadata(file).row_group(1).column(2)
    damaged = bytearray(whole)
    damaged[column.data_page_offset + column.total_compressed_size // 2] ^= 4
    file.write_bytes(damaged)
    assert read_sealed(file, ["key", "ids"]).num_rows == 40
    for check in (read_sealed, check_seal):
        with pytest.raises(DamagedError, match=r"row group 1 \(rows 16 to 30\), column text"):
            check(file)


def test_no_bit_and_no_end_is_lost_in_silence(file: Path) -> None:
    """A seeded tenth of all bits and of all lengths; every bit of a file like this one was tried once."""
    whole, chosen = file.read_bytes(), random.Random(0)
    named = 0
    for bit in sorted(chosen.sample(range(8 * len(whole)), len(whole) // 8)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        try:
            assert read_sealed(file).equals(TABLE), bit
        except DamagedError:
            named += 1
    assert named > len(whole) // 9
    for length in chosen.sample(range(len(whole)), len(whole) // 10):
        file.write_bytes(whole[:length])
        with pytest.raises(DamagedError):
            read_sealed(file)


def test_a_file_of_before_is_read_as_it_is(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "old.parquet")
    check_seal(tmp_path / "old.parquet")
    assert read_sealed(tmp_path / "old.parquet").equals(TABLE)


def test_a_text_that_is_not_utf8_is_named_in_a_file_of_before(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "old.parquet", compression="none", use_dictionary=False)
    content = (tmp_path / "old.parquet").read_bytes()
    (tmp_path / "old.parquet").write_bytes(content.replace(b"text 10", b"te\xfft 10", 1))
    with pytest.raises(DamagedError, match="UTF8"):
        read_sealed(tmp_path / "old.parquet")


def test_a_disk_that_fails_says_nothing_of_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error", str(file))

    monkeypatch.setattr("builtins.open", failing)
    with pytest.raises(ReadError, match=r"Input/output error.*left as it is"):
        read_sealed(file)
    with pytest.raises(ReadError):
        check_seal(file)


def test_rows_that_come_one_after_the_other_make_the_same_file(tmp_path: Path, file: Path) -> None:
    with sealed_writer(tmp_path / "b.parquet", TABLE.schema) as write:
        for start in (0, 15, 30):
            write(TABLE.slice(start, 15), 15)
            write(TABLE.slice(0, 0), 15)
    assert (tmp_path / "b.parquet").read_bytes() == file.read_bytes()
    groups = [*sealed_groups(file, ["key"], ["text", "absent"])]
    assert [group.num_rows for group in groups] == [15, 15, 10]
    assert pa.concat_tables(groups).equals(TABLE.select(["key", "text"]))


def test_what_ends_a_writer_leaves_the_former_file(file: Path) -> None:
    before = file.read_bytes()

    def interrupted() -> None:
        with sealed_writer(file, TABLE.schema) as write:
            write(TABLE, 15)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert file.read_bytes() == before and [*file.parent.iterdir()] == [file]


def test_row_groups_before_a_damaged_one_are_read(file: Path) -> None:
    column = pq.read_metadata(file).row_group(1).column(0)
    damaged = bytearray(file.read_bytes())
    damaged[column.data_page_offset + column.total_compressed_size // 2] ^= 4
    file.write_bytes(damaged)
    groups = sealed_groups(file, ["key"])
    assert next(groups).num_rows == 15
    with pytest.raises(DamagedError, match=r"row group 1 \(rows 16 to 30\), column key"):
        next(groups)
