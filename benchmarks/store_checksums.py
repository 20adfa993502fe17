"""What checksums cost where stored samples are read.

python benchmarks/store_checksums.py [--pairs 30] [--samples 2048]

The same samples are stored with and without checksums, in shards of 512, once short (40 tokens) and once
long (2,000), and read in turn in one process: with the store's reader, which checks, and with
`pyarrow.parquet.read_table`, which does not. The last line is what the store reads for a probe whose samples
are all there: it holds a shard against its checksums when it first meets it. Each ratio is a median of pairs.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from evals.records.store import SAMPLES
from rlvr.core.sealed import Check, read_sealed, write_sealed

SHARD = 512
KEYS = ["prompt", "index"]
# Columns that are read one after another: what is there, its digests, what is counted, and what is written.
MEASUREMENT = [
    KEYS, [*KEYS, "digest"], [*KEYS, "tokens", "digest", "finish_reason"],
    [*KEYS, "text", "token_ids", "logprob"],
]  # fmt: skip


def rows(count: int, tokens: int) -> pa.Table:
    """Samples whose texts compress about as well as a model's do."""
    draw = random.Random(0)
    words = ["".join(draw.choices("etaoinshrdlu", k=draw.randint(1, 9))) for _ in range(2000)]
    made = []
    for i in range(count):
        ids = draw.choices(range(2000), k=tokens)
        made.append(
            {"prompt": f"{i // 16:016x}", "index": i % 16, "problem": str(i // 16),
             "seed": draw.getrandbits(62), "token_ids": ids, "tokens": tokens,
             "digest": f"{draw.getrandbits(64):016x}", "logprob": -draw.random(),
             "text": " ".join(words[i] for i in ids), "finish_reason": "stop"}
        )  # fmt: skip
    return pa.Table.from_pylist(made, SAMPLES)


def seconds(read: Callable[[], object]) -> tuple[float, float]:
    """By the clock, and of the CPU on all threads."""
    begun = time.perf_counter(), time.process_time()
    read()
    return time.perf_counter() - begun[0], time.process_time() - begun[1]


def measure(table: pa.Table, pairs: int, directory: Path) -> None:
    plain: list[Path] = []
    sealed: list[Path] = []
    for name in ("plain", "sealed"):
        (directory / name).mkdir()
    for start in range(0, table.num_rows, SHARD):
        plain.append(directory / "plain" / f"{start}.parquet")
        sealed.append(directory / "sealed" / f"{start}.parquet")
        part = table.slice(start, SHARD)
        pq.write_table(part, plain[-1], compression="zstd")
        write_sealed(sealed[-1], part)
    size = sum(file.stat().st_size for file in sealed) / 2**20
    print(f"{table.num_rows} samples, {size:.1f} MiB in {len(sealed)} shards")

    def before(columns: list[str] | None) -> list[pa.Table]:
        return [pq.read_table(file, columns=columns) for file in plain]

    def after(columns: list[str] | None, check: Check = "columns") -> list[pa.Table]:
        return [read_sealed(file, columns, check=check) for file in sealed]

    if before(None) != after(None):
        raise SystemExit("the two readers differ")
    compare("keys", lambda: before(KEYS), lambda: after(KEYS), pairs)
    compare("all columns", lambda: before(None), lambda: after(None), pairs)
    compare("keys, where shards are first met", lambda: before(KEYS), lambda: after(KEYS, "whole"), pairs)
    compare(
        "what a measurement reads of shards that are all there",
        lambda: [before(columns) for columns in MEASUREMENT],
        lambda: [after(columns, "whole" if columns == KEYS else "footer") for columns in MEASUREMENT],
        pairs,
    )


def compare(name: str, before: Callable[[], object], after: Callable[[], object], pairs: int) -> None:
    times = [(seconds(before), seconds(after)) for _ in range(pairs)]
    clock, cpu = (statistics.median(new[i] / old[i] for old, new in times) for i in (0, 1))
    took = 1e3 * statistics.median(old[1] for old, _ in times)
    print(f"  {name}: x{clock:.2f} by the clock, x{cpu:.2f} of the CPU (of {took:.1f} ms)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--samples", type=int, default=2048)
    given = parser.parse_args()
    for tokens in (40, 2000):
        with tempfile.TemporaryDirectory() as directory:
            measure(rows(given.samples, tokens), given.pairs, Path(directory))


if __name__ == "__main__":
    main()
