"""A samples file that refers to the store: the same texts and tokens, or an error that says what is gone."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from measuring import KEY, PLAN, TASK, Counting, measure

from evals.records import store
from evals.records.files import SAMPLES, STORED, read_about, read_reference, samples_file
from evals.records.parquet import read_parquet
from evals.records.reading import read_stored, read_texts
from evals.records.samples import SamplesGoneError, make_whole, read_samples, sample_blocks
from evals.records.schema import FileError
from evals.records.store import SampleSet
from evals.sampling.likelihood import read_responses
from rlvr.core.sealed import check_seal
from rlvr.core.shards import store_root

FEW = replace(PLAN, n=8)
IDS = [problem.id for problem in PLAN.problems]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A measurement's samples, which lie in the store."""
    measuring = measure(FEW, Counting(), store_root())
    measuring.counted().write(tmp_path / "out", measuring.samples)
    return samples_file(tmp_path / "out", TASK.name)


def test_texts_lie_once_and_are_read_from_the_store(file: Path) -> None:
    assert not {*STORED} & {*pq.read_schema(file).names}
    found = read_samples(file, ["problem", "index", "text", "token_ids", "digest"])
    stored = SampleSet(store_root(), KEY).read(["problem", "text", "token_ids", "digest"]).to_pylist()
    by_key = {(row["problem"], row["index"]): row for row in stored}
    assert found.num_rows == 40
    for row in found.to_pylist():
        own = by_key[row["problem"], row["index"]]
        assert [row[name] for name in ("text", "token_ids", "digest")] == [
            own[name] for name in ("text", "token_ids", "digest")
        ]


def test_a_file_made_whole_says_the_same_without_a_store(file: Path) -> None:
    prompts = dict.fromkeys(IDS, (1,))

    def said() -> tuple[object, ...]:
        stored = read_stored(file)
        repeats = {
            name: [own.tokens.index(one) for one in own.tokens]
            for name, own in (stored.answers or {}).items()
        }
        return (
            stored.counts, repeats, read_texts(file, IDS), read_responses(file, prompts, 4),
            read_about(file),
        )  # fmt: skip

    before = said()
    assert make_whole(file) and read_reference(file) is None
    check_seal(file)
    assert pq.read_schema(file).names == SAMPLES.names and not make_whole(file)
    shutil.rmtree(store_root())
    assert said() == before


def test_parts_are_the_whole(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read_samples(file, SAMPLES.names)
    monkeypatch.setattr(store, "TOGETHER", 20)  # of 8 tokens a problem
    parts = [part.select(SAMPLES.names) for part in sample_blocks(file, SAMPLES.names)]
    assert [part.num_rows for part in parts] == [16, 16, 8]
    assert pa.concat_tables(parts).to_pylist() == whole.select(SAMPLES.names).to_pylist()
    make_whole(file)
    assert pq.ParquetFile(file).num_row_groups == 3
    assert pa.concat_tables(sample_blocks(file, SAMPLES.names)).equals(read_parquet(file))
    assert read_parquet(file).to_pylist() == whole.select(SAMPLES.names).to_pylist()


def test_samples_that_are_gone_are_named(file: Path) -> None:
    (shard,) = store_root().glob("*/samples/*.parquet")
    content, rows = shard.read_bytes(), pq.read_table(shard)
    pq.write_table(rows.slice(0, 37), shard)
    with pytest.raises(
        SamplesGoneError, match=rf"3 of 40 samples are not in set {KEY.digest()} .*RLVR_STORE"
    ):
        read_samples(file, ["text"])
    other = rows["digest"].to_pylist()
    other[5] = "f" * 16
    pq.write_table(rows.set_column(rows.column_names.index("digest"), "digest", pa.array(other)), shard)
    with pytest.raises(SamplesGoneError, match=r"1 of 40 samples, as they were measured, are not in set"):
        read_samples(file, ["text"])
    shutil.rmtree(store_root())
    with pytest.raises(SamplesGoneError, match=r"40 of 40 samples") as raised:
        list(sample_blocks(file, ["token_ids"]))
    assert raised.value.status == 2 and isinstance(raised.value, FileError)
    before = file.read_bytes()
    with pytest.raises(SamplesGoneError):
        make_whole(file)
    assert file.read_bytes() == before and not [*file.parent.glob(".*")]
    assert read_stored(file).counts.samples == 40  # what the measurement says needs no store
    shard.parent.mkdir(parents=True)
    shard.write_bytes(content)
    assert read_samples(file, ["text"]).num_rows == 40


def test_a_measurement_of_other_samples_is_written_anew(file: Path) -> None:
    measuring = measure(FEW, Counting(), store_root())
    stamp = file.stat().st_mtime_ns
    measuring.counted().write(file.parent, measuring.samples)
    assert file.stat().st_mtime_ns == stamp
    found = measuring.counted()
    other = found.table.set_column(
        found.table.column_names.index("digest"), "digest", pa.array(["f" * 16] * found.table.num_rows)
    )
    replace(found, table=other).write(file.parent, measuring.samples)
    assert file.stat().st_mtime_ns > stamp and {*pq.read_table(file)["digest"].to_pylist()} == {"f" * 16}


def test_a_set_knows_which_files_refer_to_it_wherever_both_are_moved(file: Path, tmp_path: Path) -> None:
    assert SampleSet(store_root(), KEY).referrers() == [file.resolve()]
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    shutil.move(file.parent, moved)
    shutil.move(store_root(), moved)
    (found,) = SampleSet(moved / "store", KEY).referrers()
    assert found == (moved / "out" / file.name).resolve() and found.exists()


def test_a_set_that_is_drawn_anew_is_told_again(file: Path) -> None:
    shutil.rmtree(store_root())
    measuring = measure(FEW, Counting(), store_root())
    measuring.counted().write(file.parent, measuring.samples)
    assert measuring.samples.referrers() == [file.resolve()]
    assert read_samples(file, ["text"]).num_rows == 40


def test_a_set_that_is_removed_meanwhile_is_an_error(tmp_path: Path) -> None:
    measuring = measure(FEW, Counting(), store_root())
    found = measuring.counted()
    shutil.rmtree(store_root())
    with pytest.raises(SamplesGoneError, match="were removed meanwhile: give the same command again"):
        found.write(tmp_path / "out", measuring.samples)
    assert not [*(tmp_path / "out").iterdir()] and not store_root().exists()
