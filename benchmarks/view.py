"""How quick the viewer is on a large study's samples: synthetic ones, in the store as a probe leaves them.

    python benchmarks/view.py [--problems 200] [--samples 256] [--tokens 600] [--shard 512] [--keep DIR]

The 7B study's size, 850,000 samples, is --problems 1660. It starts `python -m evals view` on a run with these
samples of the base and of one policy, asks what the pages ask, each question three times, and prints the
seconds and the server's CPU seconds of the first and of the last, and the most memory that it took.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from evals.records.conditions import Conditions
from evals.records.files import COUNTS, REFERRING, Origin, counts_file, samples_file, stamped
from evals.records.parquet import write_parquet
from evals.records.store import SAMPLES, SampleKey, SampleSet
from rlvr.core.sealed import write_sealed

TASK = "countdown:3"
WORDS = [
    "so",
    "we",
    "try",
    "6",
    "10",
    "13",
    "plus",
    "times",
    "gives",
    "therefore",
    "wrong",
    "again",
    "(",
    ")",
    "=",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("problems", 200), ("samples", 256), ("tokens", 600), ("shard", 512)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--keep", type=Path, help="a directory for the data, used again if it is there")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = given.keep or Path(temporary)
        if not (root / "runs").exists():
            begun = time.monotonic()
            write(root, given.problems, given.samples, given.tokens, given.shard)
            print(f"data written in {time.monotonic() - begun:.0f} s", flush=True)
        size = sum(f.stat().st_size for f in root.rglob("*.parquet"))
        total = sum(pq.read_metadata(f).num_rows for f in root.rglob("*.samples.parquet"))
        print(f"{total:,} samples, {size / 2**30:.2f} GiB of Parquet", flush=True)
        measure(root)


def write(root: Path, problems: int, samples: int, tokens: int, shard: int) -> None:
    """Base and policy of a run, each a set of the store with shards of so many samples."""
    draw = np.random.default_rng(0)
    for side, folder, share in (("base", "base", 0.3), ("policy", "step_000100", 0.6)):
        key = SampleKey(side, "t", "plain", 0.6, 0.95, tokens, "hf", "float32", 0)
        stored = SampleSet(root / "store", key)
        stored.shards.directory.mkdir(parents=True)
        directory = root / "runs" / "big" / "probes" / folder
        directory.mkdir(parents=True)
        rate = np.clip(draw.beta(0.4, 0.6, problems) * share * 2, 0, 1)
        right = draw.random((problems, samples)) < rate[:, None]
        about = Conditions(TASK, "d" * 16, "plain", "exact-1", 0.6, 0.95, tokens)
        origin = Origin(side, "t", "hf", "float32", 0)
        rows = light_rows(right, tokens)
        write_parquet(
            samples_file(directory, TASK),
            pa.table(rows, stamped(REFERRING, about, origin, "steps-1", key)),
        )
        for start in range(0, len(rows["index"]), shard):
            part = {name: column.slice(start, shard) for name, column in rows.items()}
            write_sealed(stored.shards.directory / f"{start:08d}.parquet", heavy_rows(part, tokens, draw))
        counts = [
            {"problem": str(i), "n": samples, "correct": int(own), "n_max": samples, "reference": "7",
             "prompt": f"Problem {i}: make {i}", "sound": int(own) // 2, "undecided": 0}
            for i, own in enumerate(right.sum(1))
        ]  # fmt: skip
        schema = stamped(COUNTS, about, origin, "steps-1")
        write_parquet(counts_file(directory, TASK), pa.Table.from_pylist(counts, schema))


def light_rows(right: NDArray[np.bool_], tokens: int) -> dict[str, pa.Array]:
    """The columns of a file that refers to the store; every fourth sample is a copy. right: [problems,
    samples]."""
    problems, samples = right.shape
    index = np.tile(np.arange(samples), problems)
    owner = np.repeat(np.arange(problems), samples)
    own = np.where(index % 4 == 1, index - 1, index)
    columns = {
        "problem": [str(i) for i in owner],
        "index": index,
        "tokens": np.full(len(index), tokens),
        "logprob": -0.3 * tokens - index / samples,
        "finish_reason": np.where(index % 50, "stop", "length"),
        "status": np.where(right.reshape(-1), "correct", "wrong"),
        "extracted": ["6*10"] * len(index),
        "sound": index % 3 > 0,
        "prompt": [f"prompt{i:06d}" for i in owner],
        "digest": [f"{i:08x}{j:08x}" for i, j in zip(owner, own, strict=True)],
    }
    return {field.name: pa.array(columns[field.name], field.type) for field in REFERRING}


def heavy_rows(light: dict[str, pa.Array], tokens: int, draw: np.random.Generator) -> pa.Table:
    """A shard of the store with the texts of these samples."""
    size = len(light["index"])
    words = np.array(WORDS)[draw.integers(0, len(WORDS), (size, tokens))]
    ids = draw.integers(0, 150_000, size * tokens, dtype=np.int32)
    columns = {
        **light,
        "seed": pa.array(np.arange(size)),
        "token_ids": pa.LargeListArray.from_arrays(np.arange(size + 1) * tokens, ids),
        "text": pa.array([" ".join(row) for row in words], pa.large_string()),
    }
    return pa.table([columns[field.name].cast(field.type) for field in SAMPLES], SAMPLES)


def measure(root: Path) -> None:
    command = [sys.executable, "-m", "evals", "view", str(root / "runs"), "port=0"]
    begun = time.monotonic()
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "RLVR_STORE": str(root / "store")}
    )
    try:
        assert server.stdout
        found = re.search(r"(http://\S+)/\?token=(\S+)", server.stdout.readline())
        assert found, "the viewer did not start"
        print(f"started in {time.monotonic() - begun:.2f} s", flush=True)
        with httpx.Client(base_url=found[1], timeout=120, follow_redirects=True) as client:
            client.get("/", params={"token": found[2]}).raise_for_status()
            run = {"run": str(root / "runs" / "big"), "task": "countdown-3", "step": "100"}
            questions = {
                "the runs": ("runs", {}),
                "a run": ("run", {"run": run["run"]}),
                "problems": ("problems", run),
                "problems, lost": ("problems", {**run, "kind": "lost", "order": "change"}),
                "problems, searched": ("problems", {**run, "search": "make 19"}),
                "a problem, policy": ("samples", {**run, "problem": "17"}),
                "a problem, base": ("samples", {**run, "problem": "17", "side": "base"}),
                "all samples": ("samples", run),
                "right, wrong step": ("samples", {**run, "status": "correct", "sound": "no"}),
                "the longest wrong": ("samples", {**run, "status": "wrong", "order": "longest"}),
                "page 1000": ("samples", {**run, "status": "correct", "offset": "1000"}),
            }
            for name, (page, query) in questions.items():
                seconds, cpu = [], []
                for _ in range(3):
                    at, before = time.monotonic(), cpu_seconds(server.pid)
                    client.get(f"/api/{page}", params=query).raise_for_status()
                    seconds.append(time.monotonic() - at)
                    cpu.append(cpu_seconds(server.pid) - before)
                print(
                    f"{name:<20} first {seconds[0]:6.3f} s, CPU {cpu[0]:5.2f} s   "
                    f"last {seconds[-1]:6.3f} s, CPU {cpu[-1]:5.2f} s",
                    flush=True,
                )
        status = Path(f"/proc/{server.pid}/status").read_text()
        peak = re.search(r"VmHWM:\s+(\d+)", status)
        assert peak
        print(f"memory, at most     {int(peak[1]) / 2**20:.2f} GiB", flush=True)
    finally:
        server.terminate()
        server.wait(10)


def cpu_seconds(process: int) -> float:
    """That a process has used, on all cores: what does not grow with what else the machine does."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
