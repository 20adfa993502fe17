"""Damaged stores and probe files: named, set aside, and made again as they were."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from measuring import KEY, PLAN, TASK, Counting, measure

from evals.records.files import counts_file, samples_file
from evals.records.parquet import read_parquet
from evals.records.reading import read_stored
from evals.records.schema import FileError
from evals.records.store import SampleSet
from rlvr.core.sealed import ReadError

FEW = replace(PLAN, n=8)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    measure(FEW, Counting(), tmp_path)
    return tmp_path


def only(directory: Path) -> Path:
    (file,) = directory.rglob("*.parquet")
    return file


def with_value(file: Path, column: str, value: str) -> None:
    """A file without a seal, in whose fourth row a value is another."""
    table = pq.read_table(file)
    values = table[column].to_pylist()
    values[3] = value
    place = table.column_names.index(column)
    pq.write_table(table.set_column(place, table.field(column), pa.array(values, pa.string())), file)


def flip(file: Path, seed: int) -> None:
    content = bytearray(file.read_bytes())
    bit = random.Random(seed).randrange(32, 8 * (len(content) - 8))
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)


@pytest.mark.parametrize(("part", "drawn"), [("samples", 40), ("verdicts", 0)])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_damaged_is_drawn_or_graded_again(store: Path, part: str, drawn: int, seed: int) -> None:
    before = measure(FEW, Counting(), store).counted()
    shard = only(next(store.glob(f"*/{part}")))
    content = shard.read_bytes()
    engine = Counting()
    for _ in range(2):  # what was set aside the first time stays
        flip(shard, seed)
        with pytest.warns(UserWarning, match=rf"{shard.name} cannot be read and was renamed"):
            measuring = measure(FEW, engine, store)
    assert len(engine.asked) == 2 * drawn
    after = measuring.counted()
    assert after.counts == before.counts and after.table.equals(before.table)
    aside = [p.name for p in shard.parent.iterdir() if p != shard]
    assert sorted(aside) == [f"{shard.stem}.torn", f"{shard.stem}.torn-2"]
    if part == "samples":  # verdicts carry the seconds that they took
        assert shard.read_bytes() == content


def test_a_shard_that_changes_after_it_was_found_whole_is_looked_at_again(store: Path) -> None:
    samples = SampleSet(store, KEY)
    assert samples.read(["text"]).num_rows == 40
    flip(only(samples.directory / "samples"), 0)
    with pytest.warns(UserWarning, match="cannot be read and was renamed"):
        assert samples.read(["text"]).num_rows == 0


@pytest.mark.parametrize(
    ("part", "column", "value", "said"),
    [
        (
            "verdicts",
            "status",
            "unp!rsed",
            r"row 4: 'unp!rsed' is none of correct, timed_out",
        ),
        ("samples", "finish_reason", "stoq", r"row 4: 'stoq' is none of failed, length, stop"),
    ],
)
def test_values_that_there_are_not_are_refused(
    store: Path, part: str, column: str, value: str, said: str
) -> None:
    shard = only(next(store.glob(f"*/{part}")))
    with_value(shard, column, value)
    with pytest.warns(UserWarning, match=said):
        counts = measure(FEW, Counting(), store).counted().counts
    assert counts.samples == 40


def test_a_store_without_checksums_is_read(store: Path) -> None:
    before = measure(FEW, Counting(), store).counted()
    for shard in store.rglob("*.parquet"):
        pq.write_table(pq.read_table(shard), shard)
    engine = Counting()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        after = measure(FEW, engine, store).counted()
    assert not engine.asked and after.counts == before.counts


def test_a_disk_that_fails_costs_no_sample(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = only(next(store.glob("*/samples")))

    def failing(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(shard))

    with monkeypatch.context() as patched:
        patched.setattr("builtins.open", failing)
        with pytest.raises(ReadError, match="Permission denied"):
            SampleSet(store, KEY).read()
    assert shard.exists() and SampleSet(store, KEY).read().num_rows == 40


@pytest.mark.parametrize("file", [counts_file, samples_file])
def test_probe_files_are_held_against_their_seal(store: Path, file: Callable[[Path, str], Path]) -> None:
    out, measuring = store / "out", measure(FEW, Counting(), store)
    measuring.counted().write(out, measuring.samples)
    damaged = file(out, TASK.name)
    content = damaged.read_bytes()
    for seed in range(5):
        flip(damaged, seed)
        with pytest.raises(FileError, match=r"not what was written|cannot be read"):
            read_parquet(damaged)
        damaged.write_bytes(content)
    flip(damaged, 0)
    with pytest.warns(UserWarning, match=r"renamed to toy-x\.\S*torn and is made anew"):
        measuring.counted().write(out, measuring.samples)
    assert damaged.read_bytes() == content and len(list(out.glob("*.torn"))) == 1


@pytest.mark.parametrize("value", ["unp!rsed", "Correct"])
def test_a_status_that_there_is_not_is_refused_in_a_probe_file(store: Path, value: str) -> None:
    measuring = measure(FEW, Counting(), store)
    measuring.counted().write(store / "out", measuring.samples)
    file = samples_file(store / "out", TASK.name)
    with_value(file, "status", value)
    with pytest.raises(FileError, match=rf"toy-x.samples.parquet, row 4: '{value}' is none of correct"):
        read_stored(file)
