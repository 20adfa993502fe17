"""A probe that is killed at random times: nothing twice, nothing missing, the same bytes in the end."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import killed_probe
import pyarrow.parquet as pq
import pytest

from evals.records.store import SampleSet


def start(root: Path, log: Path) -> BaseProcess:
    """Forked from a server that has imported everything heavy, so that a start costs little."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killed_probe"])
    process = context.Process(target=killed_probe.main, args=(str(root), str(log)))
    process.start()
    return process


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


@pytest.mark.parametrize("kills", [3, pytest.param(30, marks=pytest.mark.slow)])
def test_killed_at_random_times_it_stores_every_sample_once(
    tmp_path: Path, base: Path, kills: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(killed_probe.__file__).parent))
    whole, cut, log = tmp_path / "whole", tmp_path / "cut", tmp_path / "log"
    begun = time.monotonic()
    reference = killed_probe.measure(str(whole), str(tmp_path / "whole_log"))
    total = asked(tmp_path / "whole_log")
    a_chunk = (time.monotonic() - begun) / (total / killed_probe.CHUNK)
    chance = random.Random(kills)
    before: set[tuple[object, ...]] = set()
    for _ in range(kills):
        already = asked(log)
        process = start(cut, log)
        while asked(log) == already and process.is_alive():
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 1.5) * a_chunk)
        assert process.pid is not None and process.is_alive(), "it finished before it could be killed"
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        stored = rows(cut, "samples")
        assert len(stored) == len(set(stored)) and before <= set(stored)
        before = set(stored)
    last = start(cut, log)
    last.join()
    assert last.exitcode == 0
    for table in ("samples", "verdicts"):
        stored = rows(cut, table)
        assert len(stored) == len(set(stored)) == total
        assert set(stored) == set(rows(whole, table))
    assert asked(log) <= total + kills * killed_probe.CHUNK, "more than a chunk was drawn again"
    for root in (whole, cut):
        assert SampleSet(root, killed_probe.KEY).export(root / "export.parquet") == total
    assert (whole / "export.parquet").read_bytes() == (cut / "export.parquet").read_bytes()
    again = killed_probe.measure(str(cut), str(log))
    assert again.counts.correct.tolist() == reference.counts.correct.tolist()
