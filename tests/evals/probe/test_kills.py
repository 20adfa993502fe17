"""A probe that is killed at random times: nothing twice, nothing missing, the same bytes in the end."""

from __future__ import annotations

import random
import time
from pathlib import Path

import killed_probe
import pyarrow.parquet as pq
import pytest
from forked import Forked

from evals.records.store import SampleSet


def start(root: Path, log: Path, problems: int) -> Forked:
    return Forked([killed_probe.__file__, str(root), str(log), str(problems)])


def asked(log: Path) -> int:
    """Samples that engines were asked for."""
    return sum(map(int, log.read_text().split())) if log.exists() else 0


def rows(root: Path, table: str) -> list[tuple[object, ...]]:
    """The keys of all rows as they lie in the shards, repeated ones included."""
    names = ("prompt", "index", "reference") if table == "verdicts" else ("prompt", "index")
    found: list[tuple[object, ...]] = []
    for shard in sorted((root / killed_probe.KEY.digest() / table).rglob("*.parquet")):
        columns = pq.read_table(shard, columns=list(names))
        found += zip(*(columns[name].to_pylist() for name in names), strict=True)
    return found


@pytest.mark.parametrize(("kills", "problems"), [(3, 24), pytest.param(30, 90, marks=pytest.mark.slow)])
def test_killed_at_random_times_it_stores_every_sample_once(
    tmp_path: Path, base: Path, kills: int, problems: int
) -> None:
    whole, cut, log = tmp_path / "whole", tmp_path / "cut", tmp_path / "log"
    begun = time.monotonic()
    reference = killed_probe.measure(str(whole), str(tmp_path / "whole_log"), problems)
    total = asked(tmp_path / "whole_log")
    a_chunk = (time.monotonic() - begun) / (total / killed_probe.CHUNK)
    chance = random.Random(kills)
    before: set[tuple[object, ...]] = set()
    for _ in range(kills):
        already = asked(log)
        process = start(cut, log, problems)
        while asked(log) == already and process.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 1.5) * a_chunk)
        assert process.poll() is None, "it finished before it could be killed"
        process.kill()
        process.wait()
        stored = rows(cut, "samples")
        assert len(stored) == len(set(stored)) and before <= set(stored)
        before = set(stored)
    last = start(cut, log, problems)
    assert last.wait() == 0, last.written()
    for table in ("samples", "verdicts"):
        stored = rows(cut, table)
        assert len(stored) == len(set(stored)) == total
        assert set(stored) == set(rows(whole, table))
    # Of each part what was under way, and what was not stored yet.
    assert asked(log) <= total + kills * 2 * killed_probe.CHUNK
    for root in (whole, cut):
        assert SampleSet(root, killed_probe.KEY).export(root / "export.parquet") == total
    assert (whole / "export.parquet").read_bytes() == (cut / "export.parquet").read_bytes()
    again = killed_probe.measure(str(cut), str(log), problems)
    assert again.counts.correct.tolist() == reference.counts.correct.tolist()
