"""A training step held against TRL's GRPOTrainer, on one thread: `make bench`.

    python benchmarks/against_trl.py [--pairs 7] [--workloads "1M, fixed" ...] [--vllm]

Both do GRPO (token mean, no KL) with AdamW in fp32 on the same random weights, prompts, lengths and
rewards, in one process, a step of one after a step of the other. First TRL's rollouts are replayed by
ours: loss and gradient must be equal. Then each samples its own, and the steps are compared.

Ratios are TRL's time over ours, so above 1 ours is faster: the median over pairs [smallest, largest].
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
import transformers
from our_step import OurStep
from trl_step import trl_steps, vllm_settings
from workload import WORKLOADS, Meter, Workload, build_model

PHASES = ("generation", "scoring", "update")
# Relative distance of every gradient tensor, and of the loss, that fp32 sums in another order explain.
TOLERANCE = 1e-3
# Pairs that are done first and not counted.
WARM_UP = 1


class Pair(NamedTuple):
    """One step of each, on the same prompts and lengths."""

    step: int
    ours: Meter
    trl: Meter


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=7)
    names = [work.name for work in WORKLOADS]
    parser.add_argument("--workloads", nargs="+", choices=names, default=names)
    parser.add_argument(
        "--continuous-batching",
        action="store_true",
        help="TRL generates with transformers' continuous batching, each request to the longest's length",
    )
    parser.add_argument("--vllm", action="store_true", help="both generate with vLLM; fixed lengths alone")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    rate = matmul_rate()
    print(f"matrix products of 1024 x 1024: {rate / 1e9:.0f} GFLOP/s on one thread\n")
    settings = {"use_transformers_continuous_batching": True} if chosen.continuous_batching else {}
    rows = []
    for work in WORKLOADS:
        if work.name in chosen.workloads and not (chosen.vllm and work.sigma):
            pairs, parameters = compare(work, chosen.pairs, vllm=chosen.vllm, **settings)
            rows.append(table_row(work, pairs, parameters, rate))
            print_row(rows[-1])
    print("\n" + "\n".join(markdown(rows)))
    return 0


def compare(
    work: Workload, pairs: int, lr: float = 1e-5, vllm: bool = False, **settings: Any
) -> tuple[list[Pair], int]:
    """The measured pairs, and the number of parameters. Exits where loss or gradient differ."""
    measured: list[Pair] = []

    def then(step: int) -> None:
        trl, callback = runner
        theirs = trl.meter.taken()
        if step == 0:
            ours.engine.replay = trl.completions
            metrics = ours(step)
            check_equal(work, sum(trl.losses), metrics["loss/total"], callback.gradient, ours.gradient)
            ours.engine.replay = None
            ours.keep_gradient = callback.keep_gradient = False
        else:
            ours(step)
        own = ours.meter.taken()
        if step > WARM_UP:
            measured.append(Pair(step, own, theirs))

    with tempfile.TemporaryDirectory() as directory:
        if vllm:
            settings |= vllm_settings(work)
            saved = Path(directory)
            build_model(work.shape).save_pretrained(saved)
        ours = OurStep(work, lr, saved if vllm else None)
        runner = trl_steps(work, 1 + WARM_UP + pairs, lr, directory, then, **settings)
        runner[0].train()
    return measured, sum(p.numel() for p in ours.policy.plain.policy.parameters())


def check_equal(
    work: Workload, trl_loss: float, loss: float, trl: dict[str, Any], own: dict[str, Any]
) -> None:
    """The proof that both do the same: loss and gradient on the same rollouts."""
    if trl.keys() != own.keys():
        sys.exit(f"{work.name}: gradients of different parameters: {sorted(trl.keys() ^ own.keys())}")
    apart = {name: float((own[name] - g).norm() / g.norm()) for name, g in trl.items()}
    worst = max(apart, key=lambda name: apart[name])
    loss_apart = abs(loss - trl_loss)
    if not (apart[worst] < TOLERANCE and loss_apart < TOLERANCE):
        sys.exit(
            f"{work.name}: not the same: loss {loss} and {trl_loss}, {worst} apart by {apart[worst]:.1e}"
        )
    print(
        f"{work.name}: on the same rollouts the losses are {loss_apart:.0e} apart, "
        f"the gradients {apart[worst]:.0e} of their norm ({worst})",
        flush=True,
    )


def matmul_rate() -> float:
    """Floating-point operations a second, the best of several."""
    a, b = torch.randn(2, 1024, 1024)
    best = float("inf")
    for _ in range(20):
        begun = time.process_time()
        a @ b
        best = min(best, time.process_time() - begun)
    return 2 * 1024**3 / best


def table_row(work: Workload, pairs: Sequence[Pair], parameters: int, rate: float) -> dict[str, str]:
    """What the table says of one workload, by column."""
    row = {"workload": work.name, "parameters": f"{parameters / 1e6:.2f}M"}
    row["step"] = spread([sum(p.trl.wall.values()) / sum(p.ours.wall.values()) for p in pairs])
    row["step, CPU"] = spread([sum(p.trl.cpu.values()) / sum(p.ours.cpu.values()) for p in pairs])
    for phase in PHASES:
        row[phase] = spread([p.trl.cpu[phase] / p.ours.cpu[phase] for p in pairs])
    for name, meters in (("ours", [p.ours for p in pairs]), ("TRL", [p.trl for p in pairs])):
        cpu = sum(sum(m.cpu.values()) for m in meters)
        shares = [sum(m.cpu[phase] for m in meters) / cpu for phase in PHASES]
        row[f"{name}: shares"] = " / ".join(f"{share:.0%}" for share in shares)
        drawn = sum(sum(work.completion_lengths(p.step)) for p in pairs)
        prompts = sum(sum(map(len, work.prompt_ids(p.step))) for p in pairs)
        useful = drawn + prompts, drawn + work.group_size * prompts
        done = [sum(m.tokens.get(phase, 0) for m in meters) for phase in ("generation", "update")]
        row[f"{name}: tokens"] = " / ".join(f"{d / u:.2f}" for d, u in zip(done, useful, strict=True))
        floor = (2 * useful[0] + 6 * useful[1]) * parameters / rate
        row[f"{name}: floor"] = f"{floor / cpu:.0%}"
    return row


def spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"


def print_row(row: dict[str, str]) -> None:
    print("\n".join(f"  {name:15} {value}" for name, value in row.items()), flush=True)


def markdown(rows: Sequence[dict[str, str]]) -> Iterator[str]:
    """One row a workload."""
    yield f"| {' | '.join(rows[0])} |"
    yield "|---" * len(rows[0]) + "|"
    for row in rows:
        yield f"| {' | '.join(row.values())} |"


if __name__ == "__main__":
    sys.exit(main())
