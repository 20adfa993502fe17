"""What checksums cost where stored samples are read.

python benchmarks/store_checksums.py [--pairs 30] [--samples 2048]

The same samples are stored with and without checksums, in shards of 512, once short (40 tokens) and once
long (2,000), and read in turn in one process: with the store's reader, which checks, and with
`pyarrow.parquet.read_table`, which does not. Both tables are compared. Each line is a median of paired ratios.
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
from rlvr.core.sealed import read_sealed, write_sealed

SHARD = 512
KEYS = ["prompt", "index"]


def rows(count: int, tokens: int) -> pa.Table:
    """Samples whose texts compress about as well as a model's do."""
    draw = random.Random(0)
    words = ["".join(draw.choices("etaoinshrdlu", k=draw.randint(1, 9))) for _ in range(2000)]
    made = []
    for i in range(count):
        ids = draw.choices(range(2000), k=tokens)
        made.append(
            {"prompt": f"{i // 16:016x}", "index": i % 16, "problem": str(i // 16), 
             "seed": draw.getrandbits(62), "token_ids": ids, "tokens": tokens, "digest": f"{draw.getrandbits(64):016x}",
             "logprob": -draw.random(), "text": " ".join(words[i] for i in ids), "finish_reason": "stop"}
        )  # fmt: skip
    return pa.Table.from_pylist(made, SAMPLES)


def seconds(read: Callable[[], object]) -> float:
    begun = time.perf_counter()
    read()
    return time.perf_counter() - begun


def measure(table: pa.Table, pairs: int, directory: Path) -> None:
    plain, sealed = [], []
    for start in range(0, table.num_rows, SHARD):
        plain.append(directory / f"plain-{start}.parquet")
        sealed.append(directory / f"sealed-{start}.parquet")
        part = table.slice(start, SHARD)
        pq.write_table(part, plain[-1], compression="zstd")
        write_sealed(sealed[-1], part)
    size = sum(file.stat().st_size for file in sealed) / 2**20
    print(f"{table.num_rows} samples, {size:.1f} MiB in {len(sealed)} shards")
    for name, columns in (("keys", KEYS), ("all columns", None)):
        before: Callable[[], object] = lambda: [pq.read_table(f, columns=columns) for f in plain]  # noqa: B023, E731
        after: Callable[[], object] = lambda: [read_sealed(f, columns) for f in sealed]  # noqa: B023, E731
        first: Callable[[], object] = lambda: [read_sealed(f, columns, whole=True) for f in sealed]  # noqa: B023, E731
        if before() != after():
            raise SystemExit("the two readers differ")
        times = [(seconds(before), seconds(after), seconds(first)) for _ in range(pairs)]
        old = statistics.median(t[0] for t in times)
        ratios = [statistics.median(t[i] / t[0] for t in times) for i in (1, 2)]
        print(
            f"  {name}: read_table {1e3 * old:.1f} ms, the store's reader x{ratios[0]:.2f}, "
            f"and where it first looks at whole shards x{ratios[1]:.2f}"
        )


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
