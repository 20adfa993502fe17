"""Where the time of a step and of a probe goes on GPUs that are not here: a model from first principles.

    python benchmarks/step_model.py [--lengths log-normal|fixed|runaways] [--checked]

For the 7B recipe on 8 H100s and its like of 32B on 32 it adds up what the hardware cannot avoid: weights and
keys read from memory for every token drawn, products of the training passes, bytes over links and disks. It
prints seconds of each part, as the project was before and with each change after the other. Shares of the
hardware's peak are assumptions, named below; ratios between rows depend on them much less than seconds do.

--checked: the simulated engine is held against the real one: forward passes of the hf engine for drawn
lengths, in one stream and in chunks.
"""

from __future__ import annotations

import argparse
import heapq
import sys
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Lengths = NDArray[np.int64]

# An H100: products in bfloat16 per second; bytes per second of memory, to another GPU of its node, to one of
# another node, and of a node's disk; SHA-256 of one thread.
FLOPS, MEMORY, LINK, NETWORK, DISK, HASH = 989e12, 3.35e12, 450e9, 50e9, 4e9, 1.2e9
# Shares of the peak that are reached: training, prefill, reading memory while decoding.
TRAINING, PREFILL, READING = 0.4, 0.5, 0.7
# Seconds that a decoding step takes whatever it computes, and that each of a layer's two reductions over a
# group of GPUs adds.
STEP, REDUCTION = 4e-3, 12e-6
HALF = 2  # bytes
GPUS_PER_NODE = 8
THREADS = 16  # that hash a checkpoint


@dataclass(frozen=True)
class Model:
    """A dense transformer. size: parameters. kv: keys' and values' numbers per token."""

    name: str
    size: float
    layers: int
    hidden: int
    kv: int


@dataclass(frozen=True)
class Setting:
    """A recipe on its GPUs, and what of the project it has.

    tensor: GPUs that share one engine. stream: one stream instead of chunks, for the probe. packed: packed
    rows with shared prompts instead of padded ones. balanced: tokens over ranks. ahead: rollouts of the next
    step while this one trains, on half of the GPUs. threads: that hash a checkpoint.
    """

    model: Model
    gpus: int
    tensor: int
    prompts: int = 256
    group: int = 8
    prompt: int = 160
    micro_batch: int = 16384
    slots: int = 256
    stream: bool = False
    packed: bool = False
    balanced: bool = False
    ahead: bool = False
    threads: int = 1


QWEN_7B = Model("7B", 7.6e9, 28, 3584, 2 * 4 * 128 * 28)
QWEN_32B = Model("32B", 32.8e9, 64, 5120, 2 * 8 * 128 * 64)
SETTINGS = (Setting(QWEN_7B, 8, 1), Setting(QWEN_32B, 32, 4))
CHANGES: tuple[tuple[str, dict[str, bool | int]], ...] = (
    ("before", {}),
    ("+ one stream", {"stream": True}),
    ("+ packed rows", {"packed": True}),
    ("+ balanced", {"balanced": True}),
    ("+ hashed by threads", {"threads": THREADS}),
    ("+ one step ahead, not built", {"ahead": True}),
)
# Of a probe: problems, samples of each, requests that were asked for together, steps between two.
PROBLEMS, SAMPLES, CHUNK, EVERY = 821, 8, 512, 50


def drawn(kind: str, count: int, seed: int) -> Lengths:
    """Completions' tokens: median 600, the longest 8,192."""
    rng = np.random.default_rng(seed)
    if kind == "fixed":
        return np.full(count, 600)
    found = np.clip(600 * np.exp(0.8 * rng.standard_normal(count)), 1, 8192)
    if kind == "runaways":
        found[rng.random(count) < 0.01] = 8192
    return found.astype(np.int64)


def passes(lengths: Lengths, slots: int) -> list[tuple[int, int, int]]:
    """Of an engine that has these requests from the beginning: (steps, running, tokens that they have so far
    at the middle of them) between two changes of who runs."""
    waiting = list(lengths[::-1])
    running: list[tuple[int, int]] = []  # (step at which it ends, step at which it began)
    now, found = 0, []
    while waiting or running:
        while waiting and len(running) < slots:
            heapq.heappush(running, (now + int(waiting.pop()), now))
        ends = running[0][0]
        middle = (now + ends) // 2
        found.append((ends - now, len(running), sum(middle - began for _, began in running)))
        now = ends
        while running and running[0][0] == now:
            heapq.heappop(running)
    return found


def decoding(s: Setting, lengths: Lengths, engines: int, chunk: int | None) -> float:
    """Seconds until the last of the engines has drawn its share, `chunk` at a time, or all in one stream."""
    size, layers = s.model.size, s.model.layers
    read = s.tensor * MEMORY * READING
    reductions = 2 * layers * REDUCTION if s.tensor > 1 else 0.0
    longest = 0.0
    for own in (lengths[i::engines] for i in range(engines)):
        parts = [own] if chunk is None else np.split(own, range(chunk, len(own), chunk))
        seconds = 2 * size * s.prompt * len(own) / s.group / (s.tensor * FLOPS * PREFILL)
        for part in parts:
            for steps, running, so_far in passes(part, s.slots):
                keys = HALF * s.model.kv * (so_far + running * s.prompt)
                products = 2 * size * running / (s.tensor * FLOPS * PREFILL)
                each = STEP + reductions + max((HALF * size + keys) / read, products)
                seconds += steps * each
        longest = max(longest, seconds)
    return longest


def trained_tokens(s: Setting, lengths: Lengths, ranks: int) -> float:
    """Tokens that go through the busiest rank in a forward pass over the batch, padding included."""
    groups = lengths.reshape(-1, s.group)
    if s.balanced:
        groups = groups[np.argsort(-groups.sum(1), kind="stable")]
        dealt = [(groups[r :: 2 * ranks], groups[2 * ranks - 1 - r :: 2 * ranks]) for r in range(ranks)]
        own = [np.concatenate(both) for both in dealt]
    else:
        own = np.array_split(groups, ranks)
    if s.packed:
        return max(float(part.sum() + len(part) * s.prompt) for part in own)
    return max(_padded(np.sort(part.ravel())[::-1], s) for part in own)


def _padded(longest_first: Lengths, s: Setting) -> float:
    """Rows sorted by length, cut where the budget is full."""
    tokens, at = 0, 0
    while at < len(longest_first):
        width = int(longest_first[at]) + s.prompt
        rows = max(1, s.micro_batch // width)
        tokens += width * len(longest_first[at : at + rows])
        at += rows
    return float(tokens)


def training(s: Setting, lengths: Lengths, gpus: int) -> tuple[float, float]:
    """Seconds of scoring (old and reference log-probs) and of the update, with gradient checkpointing."""
    tokens = trained_tokens(s, lengths, gpus)
    attention = 2 * s.model.layers * s.model.hidden * float(lengths.mean() + s.prompt)
    forward = (2 * s.model.size + attention) * tokens / (FLOPS * TRAINING)
    # ZeRO-3 gathers all weights for every pass of a micro-batch, beside its products.
    share = HALF * s.model.size / (LINK if gpus <= GPUS_PER_NODE else NETWORK)
    gathered = share * max(1.0, tokens / s.micro_batch)
    return 2 * max(forward, gathered), max(4 * forward, 3 * gathered)


def parts(s: Setting, kind: str) -> dict[str, float]:
    """Seconds of one step, with its share of a checkpoint and of a probe."""
    lengths = drawn(kind, s.prompts * s.group, 0)
    gpus = s.gpus // 2 if s.ahead else s.gpus
    rollout = decoding(s, lengths, max(1, gpus // s.tensor), None)
    score, update = training(s, lengths, gpus)
    sync = HALF * s.model.size / (LINK if s.gpus <= GPUS_PER_NODE else NETWORK)
    nodes = max(1, s.gpus // GPUS_PER_NODE)
    saved = 14 * s.model.size
    save = (saved / DISK / nodes + saved / (HASH * s.threads)) / EVERY
    asked = drawn(kind, PROBLEMS * SAMPLES, 1)
    chunk = None if s.stream else CHUNK * s.tensor // s.gpus
    probe = decoding(replace(s, group=SAMPLES), asked, s.gpus // s.tensor, chunk) / EVERY
    if s.ahead:
        rollout = max(0.0, rollout - score - update)  # what is waited for
    return {"rollout": rollout, "score": score, "update": update, "sync": sync, "save": save, "probe": probe}


def table(kind: str) -> list[str]:
    """Markdown, one row a change, each with those before it."""
    lines = []
    for setting in SETTINGS:
        lines += [f"\n{setting.model.name} on {setting.gpus} H100s, {kind} lengths, seconds a step:\n"]
        now, first = setting, 0.0
        for name, change in CHANGES:
            now = replace(now, **change)  # type: ignore[arg-type]
            found = parts(now, kind)
            whole = sum(found.values())
            if not first:
                first = whole
                lines += [
                    f"| | {' | '.join(found)} | together | before / this |",
                    "|---" * (len(found) + 3) + "|",
                ]
            cells = " | ".join(f"{value:.1f}" for value in found.values())
            lines.append(f"| {name} | {cells} | {whole:.1f} | {first / whole:.2f} |")
    return lines


def checked() -> list[str]:
    """Forward passes as simulated and as the hf engine makes them, for the same lengths."""
    import torch
    from workload import build_model, build_tokenizer

    from rlvr.engines import Request, Sampling, generate
    from rlvr.engines.hf import HFEngine

    model: Any = build_model("1M")
    slots, prompt = 32, tuple(range(2, 18))
    torch.set_num_threads(1)
    counted: list[int] = []
    model.get_input_embeddings().register_forward_hook(lambda *_: counted.append(1))
    engine = HFEngine(model, build_tokenizer(1024), (), slots)
    lengths = np.clip(drawn("log-normal", 192, 2) // 12, 1, 200)
    asked = [Request(prompt, Sampling(max_new_tokens=int(n)), seed) for seed, n in enumerate(lengths)]
    lines = []
    for name, chunk in (("one stream", len(lengths)), ("chunks of 64", 64)):
        counted.clear()
        for start in range(0, len(lengths), chunk):
            list(generate(engine, asked[start : start + chunk]))
        cut = np.split(lengths, range(chunk, len(lengths), chunk))
        steps = sum(steps for part in cut for steps, *_ in passes(part, slots))
        lines.append(f"{name}: {steps} steps simulated, {len(counted)} passes of the engine")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lengths", choices=["log-normal", "fixed", "runaways"], default="log-normal")
    parser.add_argument(
        "--checked", action="store_true", help="hold the simulated engine against the real one"
    )
    chosen = parser.parse_args()
    print(*(checked() if chosen.checked else table(chosen.lengths)), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
